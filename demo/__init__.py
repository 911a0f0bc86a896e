"""The demo: a clip, where its person went, and answers about it, on one page.  It runs on a laptop and as a Hugging Face Space.

User interface only; what is computed comes from builder/.
"""

"""What happens when the page is used: one file for each part of it.  Nothing here may be called by programs; see `demo.api`."""

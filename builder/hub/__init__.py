"""The Hub: the only package that talks to it.  It publishes folders, and fetches published datasets.

A push stages what a repo is to hold, compares it with what the repo holds now, and makes one commit on top of exactly that
state, or none.  Nothing is uploaded before it has passed `guard`.
"""

from builder.hub.dataset import publish_dataset
from builder.hub.fetch import built_folder
from builder.hub.folder import publish_folder
from builder.hub.publish import Options, Outcome
from builder.hub.repo import HubError, Repo, no_bars

__all__ = ["HubError", "Options", "Outcome", "Repo", "built_folder", "no_bars", "publish_dataset", "publish_folder"]

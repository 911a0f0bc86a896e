"""A published dataset as a folder on this machine, so that everything that reads a built folder reads the Hub too."""

from __future__ import annotations

from pathlib import Path

from builder import export, schema
from builder.hub.repo import NAME, HubError
from builder.types import DataError


def built_folder(data: str | Path, revision: str | None = None) -> Path:
    """The built folder that `data` means: a folder, or the repo OWNER/NAME on the Hub, fetched into the cache of `huggingface_hub`.

    Offline (HF_HUB_OFFLINE) the cached copy is taken.  The open clips beside the data stay there.  Raises DataError or HubError.
    """
    folder = Path(data).expanduser()
    if folder.is_dir():
        export.manifest(folder)
        return folder
    if not NAME.fullmatch(str(data)):
        raise DataError(f"data {str(data)!r}: expected a built folder, or a repo OWNER/NAME on the Hub, found neither")
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        there = Path(
            snapshot_download(
                str(data),
                repo_type="dataset",
                revision=revision,
                ignore_patterns=[f"{schema.CLIPS}/*"],
                library_name="humanmovevqa",
            )
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.TransportError) as error:
        raise HubError(
            f"{data}: no such folder here, and the Hub cannot be reached or HF_HUB_OFFLINE is set, with no copy in the cache "
            f"({next(iter(str(error).splitlines()), '')})"
        ) from None
    except RepositoryNotFoundError:
        raise HubError(f"{data}: no such folder here, and no such dataset on the Hub, or not for this token; check the name") from None
    except HfHubHTTPError as error:
        raise HubError(f"{data}: the Hub answered {error.response.status_code}: {next(iter(str(error).splitlines()), '')}") from None
    export.manifest(there)
    return there

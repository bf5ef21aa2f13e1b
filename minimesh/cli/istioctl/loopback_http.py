"""One request to a loopback address, past whatever proxy the environment names."""

from __future__ import annotations

import urllib.error
import urllib.request

import click

_ANSWER_LIMIT_S = 10.0


def fetch(url: str, *, who: str, method: str = "GET") -> bytes:
    """The body. ClickException, which names `who`, when there is no good answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, method=method)
    try:
        with opener.open(request, timeout=_ANSWER_LIMIT_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        reason = error.read().decode("utf-8", "replace").strip() or str(error)
        raise click.ClickException(f"{who} refused: {reason}") from error
    except OSError as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise click.ClickException(f"{who} does not answer at {url}: {cause}") from error
    return body

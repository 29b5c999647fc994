"""A model's page: its signature, how to ask it, and where its card and its OpenAPI document are.

One file without scripts and without anything from elsewhere; every word of a manifest is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import orjson

from functions.catalogue.signature import example, together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from functions.catalogue.served import Pin
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor

__all__ = ["HEADERS", "page"]

# A manifest's words are its owner's: nothing in them may run, even if escaping ever failed.
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto}"
)
# Characters of an example that a page shows.
_SHOWN = 400


def page(pin: Pin, manifest: Manifest) -> str:
    """Return the page as HTML; its links are relative to `/v2/models/{model}/docs`."""
    name = escape(manifest.name)
    card = '<li><a href="card">Model card</a></li>' if any(f.role == "card" for f in manifest.files) else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{name}</h1><p>{escape(manifest.task)}, version {escape(pin.version)}</p>"
        f'<ul>{card}<li><a href="docs/dataplane.json">OpenAPI document</a></li></ul>'
        f"<h2>Inputs</h2><p>{escape(together(manifest.inputs))}</p>{_table(manifest.inputs)}"
        f"<h2>Outputs</h2>{_table(manifest.outputs)}<h2>Ask it</h2>{_asking(manifest)}</body></html>"
    )


def _table(specs: Iterable[MetadataTensor]) -> str:
    rows = "".join(
        f"<tr><td>{escape(spec.name)}</td><td>{spec.datatype}</td><td>{escape(str(list(spec.shape)))}</td>"
        f"<td>{escape(spec.description)}</td></tr>"
        for spec in specs
    )
    head = "<tr><th>name</th><th>datatype</th><th>shape</th><th>meaning</th></tr>"
    return f"<table>{head}{rows}</table>"


def _asking(manifest: Manifest) -> str:
    found = example(manifest)
    body = orjson.dumps(found).decode() if found else '{"inputs": […]}'
    shown = body if len(body) <= _SHOWN else body[:_SHOWN] + " …"
    call = f"POST /v2/models/{manifest.name}/infer\ncontent-type: application/json\n\n{shown}"
    return f"<pre>{escape(call)}</pre><p>-1 is any size. Texts are elements of BYTES.</p>"

"""`hotplate new` and `hotplate relay`: arguments only."""

from __future__ import annotations

from pathlib import Path

import click

from hotplate_tools.options import as_json_option

__all__ = ["new", "relay"]


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with model.yaml to start from; else a model that gives back what it is sent.",
)
@click.option("--python", is_flag=True, help="A model that is Python code with files, not a graph.")
@click.option(
    "--isolate-tenants",
    "isolates",
    is_flag=True,
    help="Its function can keep each tenant's environments apart; it has no SnapStart then.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing.")
@as_json_option
def new(
    name: str, source: Path | None, *, python: bool, isolates: bool, dry_run: bool, as_json: bool
) -> None:
    """Add model NAME to the project: function, template block, source folder, test."""
    from hotplate_tools.console import Console
    from hotplate_tools.new.project import plan_model, write_model
    from hotplate_tools.project import project_root

    if python and source:
        raise click.UsageError("--python and --from exclude each other")
    root = project_root()
    planned = plan_model(root, name, source, python=python, isolates=isolates)
    if not dry_run:
        write_model(root, planned)
    verb = "would write" if dry_run else "wrote"
    data = {
        "name": name,
        "dry_run": dry_run,
        "files": sorted(planned.files),
        "changed": ["template.yaml"],
    }
    models = f"scripts/hotplate_tools/models/{planned.module}"
    lines = [*(f"{verb} {path}" for path in sorted(planned.files)), f"{verb} a block in template.yaml"]
    first = f"put your code into functions/{planned.module}/model.py, what it needs into its requirements.in"
    lines += ["Next:", *([f"  {first}"] if python else [])]
    lines += [
        f"  put your model, golden rows and model.yaml into {models}",
        f"  hotplate publish {models} --dry-run      # prints the pins for template.yaml",
        f"  pytest tests/integration/test_{planned.module}.py",
        f"  hotplate up                               # then POST /v2/models/{name}/infer",
    ]
    Console(as_json=as_json).result(data, "\n".join(lines))


@click.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would be changed; change nothing.")
@as_json_option
def relay(name: str, *, dry_run: bool, as_json: bool) -> None:
    """Give the routes of model NAME to a relay in template.yaml, which asks its fallback too.

    Of a model that generates text these are chats and texts, and the relay passes them on as they are made.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.local.intrinsics import parse_yaml, read_yaml
    from hotplate_tools.new.relayed import answering, is_relayed, relayed
    from hotplate_tools.project import project_root

    file = project_root() / "template.yaml"
    document = read_yaml(file)
    already = bool(is_relayed(document, name))
    if not already:
        text = relayed(file.read_text(encoding="utf-8"), name)
        document = parse_yaml(text, "template.yaml")
        if not dry_run:
            file.write_text(text, encoding="utf-8")
    data = {"name": name, "dry_run": dry_run, "changed": [] if already else ["template.yaml"]}
    verb = "would move" if dry_run else "moved"
    where = f"POST /v2/models/{name}/infer"
    done = f"{verb} {where} to {answering(document, name)} in template.yaml"
    there = f"{where} is the relay's already"
    Console(as_json=as_json).result(data, there if already else done)

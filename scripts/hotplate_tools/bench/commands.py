"""`hotplate bench`: arguments only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from hotplate_tools.options import PngFile, as_json_option

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate_tools.bench.cold import Cold
    from hotplate_tools.console import Console

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure on this machine, as ratios in one run."""


@bench.command()
@click.argument("model", type=click.Choice(["small", "cnn-100mb", "encoder-500mb"]))
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, help="Starts of each.")
@click.option("--link-mbps", type=click.FloatRange(min=1), help="Bandwidth to S3; else as fast as it goes.")
@click.option("--plot", type=PngFile(), help="Draw the phases into this PNG file.")
@as_json_option
def cold(model: str, rounds: int, link_mbps: float | None, plot: Path | None, *, as_json: bool) -> None:
    """Time first answers of fresh environments: hotplate's, a usual handler's, and the bare runtime's.

    MODEL is a network of that size with random weights. S3 is a server over TLS on this machine.
    """
    from hotplate_tools.bench.cold import bench_cold
    from hotplate_tools.bench.plot import plot_job
    from hotplate_tools.console import Console
    from hotplate_tools.drawing import draw

    console = Console(as_json=as_json)
    seen = bench_cold(model, rounds=rounds, mbps=link_mbps, console=console)
    if plot:
        draw("run_phases.py", plot_job(seen), plot, console)
    console.result(_data(seen), _text(seen))


@bench.command()
@click.argument("model", type=click.Choice(["small", "cnn-100mb", "encoder-500mb"]))
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Starts of each.")
@as_json_option
def memory(model: str, rounds: int, *, as_json: bool) -> None:
    """Measure what functions hold: hotplate's and a usual handler's, in one process and in four.

    MODEL is a network of that size with random weights. Exit code 1 if hotplate's holds more than it may.
    """
    from hotplate_tools.bench.memory import bench_memory, memory_data, memory_text
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    seen = bench_memory(model, rounds=rounds, console=console)
    console.result(memory_data(seen), memory_text(seen))
    if not seen.is_within:
        raise SystemExit(1)


@bench.command()
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, help="Of both by turns.")
@as_json_option
def steady(rounds: int, *, as_json: bool) -> None:
    """Time runs after the swap of a start in two stages against a session that was whole from the start.

    Exit code 1 if they take longer than they may.
    """
    from hotplate_tools.bench.steady import BAR, bench_steady, steady_data, steady_text
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    seen = bench_steady(rounds=rounds, console=console)
    console.result(steady_data(seen), steady_text(seen))
    if seen.ratio > BAR:
        raise SystemExit(1)


@bench.command()
@click.option(
    "--rows", type=click.IntRange(min=1000), default=1_000_000, show_default=True, help="Of a file."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["parquet", "csv", "jsonl"]),
    help="Else all three.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Of all by turns.")
@click.option("--memory", is_flag=True, help="What a worker holds instead, from 10,000 rows to --rows.")
@as_json_option
def batch(rows: int, formats: tuple[str, ...], rounds: int, *, memory: bool, as_json: bool) -> None:
    """Time one worker of a batch against the bare session, over a file of the breast-cancer model's rows.

    Exit code 1 if Parquet is slower, or memory grows more, than it may.
    """
    from hotplate_tools.bench.batch import batch_data, batch_text, bench_batch
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    if memory:
        _batch_memory(rows, formats or ("parquet",), console)
        return
    seen = bench_batch(rows, formats or ("parquet", "csv", "jsonl"), rounds=rounds, console=console)
    console.result(batch_data(seen), batch_text(seen))
    if not seen.is_within:
        raise SystemExit(1)


def _batch_memory(rows: int, formats: tuple[str, ...], console: Console) -> None:
    from hotplate_tools.bench.batch_memory import bench_batch_memory, is_flat, peaks_data, peaks_text

    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size < rows] + [rows]
    for kind in formats:
        peaks = bench_batch_memory(sizes, kind, console=console)
        console.result(peaks_data(kind, peaks), peaks_text(kind, peaks))
        if not is_flat(peaks):
            raise SystemExit(1)


@bench.command()
@click.option(
    "--against",
    type=click.Choice(["genai", "llama"]),
    default="genai",
    show_default=True,
    help="onnxruntime-genai on one thread, or llama-cpp-python on two, which is compiled at first use.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True, help="Of both by turns.")
@as_json_option
def chat(against: str, rounds: int, *, as_json: bool) -> None:
    """Time answers of smollm2: hotplate's loop against another one.

    Exit code 1 if hotplate's makes fewer tokens than it may.
    """
    from hotplate_tools.bench.chat import bench_chat, chat_data, chat_text
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    seen = bench_chat(against, rounds=rounds, console=console)
    console.result(chat_data(seen), chat_text(seen))
    if not seen.is_within:
        raise SystemExit(1)


@bench.command("first-token")
@click.option(
    "--form",
    "forms",
    multiple=True,
    type=click.Choice(["four-bits", "mixed", "float-table"]),
    help="Of the weights: 81, 108 (the published one) and 176 MB; else all three.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Starts of each.")
@click.option("--link-mbps", type=click.FloatRange(min=1), help="Bandwidth to S3; else as fast as it goes.")
@as_json_option
def first_token(forms: tuple[str, ...], rounds: int, link_mbps: float | None, *, as_json: bool) -> None:
    """Time the first token of fresh chat functions, with smollm2's weights in several forms.

    Each has to answer that Paris is the capital of France.
    """
    from hotplate_tools.bench.first_token import bench_first_token, first_token_data, first_token_text
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    wanted = forms or ("four-bits", "mixed", "float-table")
    seen = bench_first_token(wanted, rounds=rounds, mbps=link_mbps, console=console)
    console.result(first_token_data(seen), first_token_text(seen))


@bench.command()
@click.option(
    "--model",
    "names",
    multiple=True,
    type=click.Choice(["resnet50", "minilm", "smollm2"]),
    help="Else all three.",
)
@click.option(
    "--provider",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    show_default=True,
    help="What is held against the processor; cpu tries the bench where no GPU is.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Of both by turns.")
@as_json_option
def gpu(names: tuple[str, ...], provider: Literal["cuda", "cpu"], rounds: int, *, as_json: bool) -> None:
    """Time models on this machine's GPU against its processor; what is needed is installed at first use.

    Exit code 3 where there is no GPU.
    """
    from hotplate_tools.bench.gpu import NAMES, bench_gpu, gpu_data, gpu_text
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    seen = bench_gpu(names or NAMES, provider, rounds=rounds, console=console)
    console.result(gpu_data(seen), gpu_text(seen))


@bench.command()
@click.argument("case", type=click.Choice(["small", "image"]))
@click.option(
    "--starts", type=click.IntRange(min=1), default=3, show_default=True, help="Starts of everything."
)
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True, help="Turns, a start.")
@click.option("--alone", is_flag=True, help="Without the model servers, which are installed at first use.")
@as_json_option
def warm(case: str, starts: int, rounds: int, *, alone: bool, as_json: bool) -> None:
    """Time warm requests: hotplate's, a usual handler's, and those of other model servers.

    CASE is what a request holds: 784 floats, or the 150,528 of a picture.
    """
    from hotplate_tools.bench.servers import SERVERS
    from hotplate_tools.bench.times import as_data, as_text
    from hotplate_tools.bench.warm import bench_warm
    from hotplate_tools.console import Console

    console = Console(as_json=as_json)
    servers = () if alone else tuple(SERVERS)
    seen = bench_warm(case, starts=starts, rounds=rounds, servers=servers, console=console)
    console.result(as_data(seen), as_text(seen))


def _data(seen: Cold) -> dict[str, Any]:
    return {
        "model": seen.model,
        "link_mbps": seen.mbps,
        "source_bytes": seen.source_bytes,
        "fetched_bytes": seen.fetched_bytes,
        "transfer_ms": seen.transfer_ms,
        "times_faster": round(seen.times_faster, 2),
        "starts": {
            name: {
                "median_ms": round(start.median_ms, 1),
                "wall_ms": [round(each, 1) for each in start.wall_ms],
                "phases_ms": {phase: round(ms, 1) for phase, ms in start.phases_ms.items()},
            }
            for name, start in seen.starts.items()
        },
    }


def _text(seen: Cold) -> str:
    ours = seen.starts["hotplate"]
    lines = [f"{seen.model}, first answer of a fresh environment, {len(ours.wall_ms)} starts of each"]
    for name, start in seen.starts.items():
        spread = f"{min(start.wall_ms):,.0f} to {max(start.wall_ms):,.0f}"
        lines.append(f"  {name:<10}{start.median_ms:>9,.0f} ms   ({spread})")
    lines.append(
        f"hotplate is {seen.times_faster:.2f} times as fast as the usual handler; imports and bytes alone, "
        f"of which nothing is made, {seen.most_times_faster:.2f} times"
    )
    if seen.transfer_ms is not None:
        beyond = ours.median_ms - seen.transfer_ms
        lines.append(f"the link alone needs {seen.transfer_ms:,.0f} ms; {beyond:,.0f} ms are beyond it")
    lines.append("hotplate's phases: " + ", ".join(f"{name} {ms:.0f}" for name, ms in ours.phases_ms.items()))
    return "\n".join(lines)

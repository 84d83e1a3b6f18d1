"""``millrace demo`` and ``millrace samples install``: the bundled default."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from millrace.errors import MediaError
from millrace.paths import cache_dir, make_tree
from millrace.placeholders import write_placeholders


def run_demo(out: Path, streams: int, seconds: float, tracker: bool) -> int:
    """Generate clips (kept for the next time), run the pose pipeline on them, say where the video is.

    Args:
        out: the annotated video.
        streams: number of clips.
        seconds: length of each.
        tracker: number the people.

    Returns:
        The exit code.
    """
    from millrace.app.pose import PoseOptions, run_pose
    from millrace.samples import demo_clips

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make the folder {out.parent}: {error.strerror}") from None
    console = Console(stderr=True, highlight=False)
    folder = cache_dir() / "clips"
    with console.status("generating clips of walking figures"):
        clips = demo_clips(folder, streams, seconds)
    console.print(f"{len(clips)} generated clips of {seconds:g} s with their ground truth: {folder}", soft_wrap=True)
    return run_pose(
        PoseOptions(inputs=[str(clip) for clip in clips], out=str(out.resolve()), tracker=tracker, display=False)
    )


def install_samples(folder: Path | None = None) -> list[Path]:
    """Lay out DeepStream's ``samples`` (models, configs, streams) with Millrace's own models and films.

    The files that applications merely test for go in too, see :mod:`millrace.placeholders`.

    Args:
        folder: DeepStream's folder, in which ``samples`` is made; by default the one that stands for it.

    Returns:
        The files that are there now.
    """
    from millrace.samples.install import install_samples as install

    root = make_tree() if folder is None else folder
    console = Console(stderr=True, highlight=False)
    with console.status("making the samples (a minute or two the first time)"):
        return [*write_placeholders(root), *install(root / "samples")]

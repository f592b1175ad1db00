"""What ocrq adds to an engine's own time, and whether its text is as good: `python -m benchmarks.engines --data DIR`.

DIR holds page images with their text beside them (`page.png`, `page.gt.txt`). Each round reads every page twice in
this one process: by the engine's library alone, from pixels that are already decoded, and by `ocrq.engine.run_engine`
from the file, which decodes, orders lines, makes words and the result, and hands memory back. Times are CPU seconds,
which neighbours on the machine disturb little; `ratio` compares medians over the rounds, `overhead` leaves out what
decoding the file costs any program. JSON on stdout, one line per page on stderr.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import Image

    from ocrq.engine import Engine

    Alone = Callable[[Image.Image], str]

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


# -- engines alone, with the settings that their plugins use ------------------------------------------------------


def rapidocr_alone() -> Alone:
    """The library rapidocr without word boxes, so that what the plugin adds for words counts as overhead."""
    import numpy as np
    from ocrq_rapidocr.model import OPTIONS
    from rapidocr import RapidOCR

    ocr: Any = RapidOCR(params=OPTIONS | {"Global.return_word_box": False})
    return lambda image: "\n".join(ocr(np.ascontiguousarray(np.asarray(image)[..., ::-1])).txts or ())


def tesseract_alone() -> Alone:
    """The library tesserocr as its documentation shows it: a Pillow image in, text out."""
    import tesserocr
    from ocrq_tesseract import tessdata

    api = tesserocr.PyTessBaseAPI(path=str(tessdata.folder_with("eng")), lang="eng")
    api.SetVariable("debug_file", os.devnull)

    def read(image: Image.Image) -> str:
        api.SetImage(image)
        return str(api.GetUTF8Text())

    return read


ALONE: dict[str, Callable[[], Alone]] = {"rapidocr": rapidocr_alone, "tesseract": tesseract_alone}


# -- quality ------------------------------------------------------------------------------------------------------


def character_error_rate(truth: str, text: str) -> float:
    """Edits per true character; runs of white space count as one space, so line breaks do not matter."""
    truth, text = " ".join(truth.split()), " ".join(text.split())
    return edit_distance(truth, text) / max(1, len(truth))


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance, one column per step in the bits of an integer (Hyyrö 2003)."""
    if not first:
        return len(second)
    places: dict[str, int] = {}
    for index, char in enumerate(first):
        places[char] = places.get(char, 0) | 1 << index
    mask, top = (1 << len(first)) - 1, 1 << (len(first) - 1)
    plus, minus, distance = mask, 0, len(first)
    for char in second:
        match = places.get(char, 0) | minus
        diagonal = ((plus + (match & plus)) ^ plus) | match
        right_minus, right_plus = plus & diagonal, (minus | ~(plus | diagonal)) & mask
        distance += bool(right_plus & top) - bool(right_minus & top)
        right_plus, right_minus = (right_plus << 1 | 1) & mask, (right_minus << 1) & mask
        plus, minus = (right_minus | ~(diagonal | right_plus)) & mask, right_plus & diagonal
    return distance


def word_f1(truth: str, text: str) -> float:
    """Share of words read right, whatever their order; case and punctuation do not count."""
    wanted, got = (Counter(re.sub(r"[\W_]+", " ", words.lower()).split()) for words in (truth, text))
    return 2 * (wanted & got).total() / max(1, wanted.total() + got.total())


# -- measuring ----------------------------------------------------------------------------------------------------


def cpu_seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    value = action()
    return time.process_time() - started, value


def second(action: Callable[[], Any]) -> tuple[float, Any]:
    action()
    return cpu_seconds(action)


def resident_mb() -> int | None:
    """Memory of this process in MB; None where the system does not say (only Linux does here)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def load_engine(name: str) -> Engine:
    (entry,) = importlib.metadata.entry_points(group="ocrq.processors", name=name)
    engine: Engine = entry.load()()
    return engine


def measure_page(engine: Engine, alone: Alone, path: Path, rounds: int) -> dict[str, Any]:
    """Both ways of reading one page, interleaved; one unmeasured round before warms caches and allocators."""
    from PIL import Image

    from ocrq.documents import Limits
    from ocrq.engine import run_engine
    from ocrq.testing import make_task

    def decode() -> Image.Image:
        with Image.open(path) as image:
            return image.convert("RGB")

    task = make_task(engine.name, file=path)
    times: dict[str, list[float]] = {"alone": [], "ocrq": [], "decode": []}
    for nth in range(rounds + 1):
        decode_s, image = cpu_seconds(decode)
        # Only the second of two is measured: each finds the heap as its own kind leaves it, grown or handed back.
        alone_s, alone_text = second(partial(alone, image))
        del image
        ocrq_s, result = second(partial(run_engine, engine, task, Limits()))
        if nth:
            for key, seconds in (("alone", alone_s), ("ocrq", ocrq_s), ("decode", decode_s)):
                times[key].append(seconds)
    truth = path.with_name(f"{path.stem}.gt.txt").read_text(encoding="utf-8")
    return {
        "page": path.name,
        **{f"{key}_s": round(statistics.median(seconds), 3) for key, seconds in times.items()},
        "cer_alone": round(character_error_rate(truth, alone_text), 4),
        "cer_ocrq": round(character_error_rate(truth, result["text"]), 4),
        "f1_alone": round(word_f1(truth, alone_text), 4),
        "f1_ocrq": round(word_f1(truth, result["text"]), 4),
        "rss_mb": resident_mb(),
    }


def summarise(pages: list[dict[str, Any]]) -> dict[str, Any]:
    total = {key: sum(page[f"{key}_s"] for page in pages) for key in ("alone", "ocrq", "decode")}
    means = {key: statistics.mean(page[key] for page in pages) for key in pages[0] if key.startswith(("cer", "f1"))}
    return {
        "ratio": round(total["ocrq"] / total["alone"], 3),
        "overhead": round((total["ocrq"] - total["decode"]) / total["alone"] - 1, 3),
        **{key: round(value, 4) for key, value in means.items()},
    }


def find_pages(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGES and path.with_name(f"{path.stem}.gt.txt").exists():
            yield path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of page images with NAME.gt.txt beside them")
    parser.add_argument("--engine", choices=sorted(ALONE), default="rapidocr")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    paths = list(find_pages(options.data))
    if not paths:
        parser.error(f"{options.data} holds no image with a .gt.txt file beside it")
    engine = load_engine(options.engine)
    engine.load()
    alone = ALONE[options.engine]()
    pages = []
    for path in paths:
        pages.append(measure_page(engine, alone, path, options.rounds))
        print(json.dumps(pages[-1]), file=sys.stderr)
    report = {
        "engine": {"name": engine.name, "version": engine.version},
        "python": platform.python_version(),
        "rounds": options.rounds,
        "summary": summarise(pages),
        "pages": pages,
    }
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

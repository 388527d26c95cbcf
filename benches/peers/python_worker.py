"""pyvips and Pillow as library contenders, one of them in a process.

python_worker.py pyvips|pillow CORPUS LOGO
One order a line on stdin: {"workload", "min_ms", "quality", "keep"}; one answer a line. Every call reads from memory and
writes to memory, on one thread, without a cache, as ours do. {"convert": [FROM, TO]} writes a picture as PNG (pyvips).
"""

import io
import json
import os
import resource
import sys
import time

# libvips reads it when it starts.
os.environ["VIPS_CONCURRENCY"] = "1"

WIDTHS = range(200, 2001, 200)
WIDTH, HEIGHT, RADIUS, BORDER = 400, 350, 20, 5
OUTER = (WIDTH + 2 * BORDER, HEIGHT + 2 * BORDER)


class Files(dict):
    """Files of the corpus, read when they are first asked for."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            self[name] = file.read()
        return self[name]


def pyvips_workloads(files, logo_path):
    import pyvips

    pyvips.cache_set_max(0)
    thumbnail = pyvips.Image.thumbnail_buffer
    with open(logo_path, "rb") as file:
        logo = file.read()
    frame = f'<svg width="{OUTER[0]}" height="{OUTER[1]}">%s</svg>'
    box = (
        f'<rect x="{BORDER / 2}" y="{BORDER / 2}" width="{OUTER[0] - BORDER}" height="{OUTER[1] - BORDER}" '
        f'rx="{RADIUS + BORDER / 2}" %s/>'
    )
    ring = (frame % (box % f'fill="none" stroke="black" stroke-width="{BORDER}"')).encode()
    kept = (frame % (box % "")).encode()

    def w2():
        picture = thumbnail(files["photo_12mp.jpg"], WIDTH, height=HEIGHT, crop="centre")
        picture = picture.embed(BORDER, BORDER, *OUTER)
        mask = pyvips.Image.svgload_buffer(kept)[3]
        picture = picture.bandjoin(mask).copy(interpretation="srgb")
        mark = thumbnail(logo, round(OUTER[0] * 0.25), size="both")
        mark = mark if mark.hasalpha() else mark.addalpha()
        mark = mark * [1, 1, 1, 0.5]
        mark = mark.cast("uchar").copy(interpretation="srgb")
        return picture.composite(
            [pyvips.Image.svgload_buffer(ring), mark],
            ["over", "over"],
            x=[0, OUTER[0] - mark.width - 10],
            y=[0, 10],
        )

    def jpeg(picture):
        return picture.jpegsave_buffer(Q=80)

    def fit(name, size):
        return thumbnail(files[name], size, height=size)

    def w3once():
        # Half size is the least decode that covers the largest width.
        whole = pyvips.Image.jpegload_buffer(files["photo_24mp.jpg"], shrink=2).copy_memory()
        return [jpeg(whole.thumbnail_image(width)) for width in WIDTHS]

    def avif(quality, effort):
        picture = thumbnail(files["photo_2mp.jpg"], 1200)
        return [picture.heifsave_buffer(compression="av1", Q=quality, effort=effort, subsample_mode="on")]

    workloads = {
        "W1": lambda _: [jpeg(fit("photo_12mp.jpg", 400))],
        "W1w": lambda _: [fit("webp_12mp.webp", 400).webpsave_buffer(Q=80)],
        "W2j": lambda _: [w2().jpegsave_buffer(Q=80, background=255)],
        "W2w": lambda _: [w2().webpsave_buffer(Q=80)],
        "W3": lambda _: [jpeg(thumbnail(files["photo_24mp.jpg"], width)) for width in WIDTHS],
        "W3once": lambda _: w3once(),
        # Effort 3 is libaom's speed 6, effort 1 is speed 8.
        "W4": lambda quality: avif(quality, 3),
        "W4fast": lambda quality: avif(quality, 1),
        "W5": lambda _: [thumbnail(files["png_2mp.png"], 800).pngsave_buffer()],
        "W6": lambda _: [jpeg(fit("progressive_12mp.jpg", 400))],
        "W8": lambda _: [jpeg(thumbnail(files["photo_2mp.jpg"], 800, height=600, crop="centre"))],
        "W9": lambda _: [jpeg(fit("photo_2mp.jpg", 512))],
    }
    version = ".".join(str(pyvips.version(part)) for part in range(3))
    return "pyvips", f"pyvips {pyvips.__version__}, libvips {version}", workloads


def pillow_workloads(files, logo_path):
    import PIL
    from PIL import Image, ImageDraw, ImageOps, features

    lanczos = Image.Resampling.LANCZOS
    logo_file = Image.open(logo_path)
    logo_file.load()
    simd = ".post" in PIL.__version__

    def opened(name):
        return Image.open(io.BytesIO(files[name]))

    def saved(picture, format, **options):
        out = io.BytesIO()
        picture.save(out, format, **options)
        return out.getvalue()

    def fit(name, width, height):
        picture = opened(name)
        picture.thumbnail((width, height), lanczos, reducing_gap=2.0)
        return picture

    def w2():
        picture = opened("photo_12mp.jpg")
        picture.draft("RGB", (WIDTH * 2, HEIGHT * 2))
        picture = ImageOps.fit(picture, (WIDTH, HEIGHT), lanczos)
        framed = Image.new("RGBA", OUTER, (0, 0, 0, 0))
        box = (0, 0, OUTER[0] - 1, OUTER[1] - 1)
        # Four times the size, made small again: soft edges.
        big = Image.new("L", (OUTER[0] * 4, OUTER[1] * 4), 0)
        draw = ImageDraw.Draw(big)
        draw.rounded_rectangle([4 * side for side in box], 4 * (RADIUS + BORDER), fill=255)
        outside = big.resize(OUTER, Image.Resampling.BOX)
        inside = Image.new("L", (WIDTH * 4, HEIGHT * 4), 0)
        ImageDraw.Draw(inside).rounded_rectangle((0, 0, WIDTH * 4 - 1, HEIGHT * 4 - 1), 4 * RADIUS, fill=255)
        inside = inside.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
        framed.paste((0, 0, 0, 255), (0, 0), outside)
        framed.paste(picture, (BORDER, BORDER), inside)
        mark = logo_file.convert("RGBA")
        side = round(OUTER[0] * 0.25)
        mark = mark.resize((side, round(mark.height * side / mark.width)), lanczos)
        mark.putalpha(mark.getchannel("A").point(lambda value: value // 2))
        framed.alpha_composite(mark, (OUTER[0] - mark.width - 10, 10))
        return framed

    def flat(picture):
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        return white

    def w3():
        return [saved(fit("photo_24mp.jpg", width, width), "JPEG", quality=80) for width in WIDTHS]

    def w3once():
        whole = opened("photo_24mp.jpg")
        whole.draft("RGB", (2000, 1333))
        whole.load()
        heights = (round(width * whole.height / whole.width) for width in WIDTHS)
        return [
            saved(whole.resize((width, height), lanczos, reducing_gap=2.0), "JPEG", quality=80)
            for width, height in zip(WIDTHS, heights)
        ]

    workloads = {
        "W1": lambda _: [saved(fit("photo_12mp.jpg", 400, 400), "JPEG", quality=80)],
        "W2j": lambda _: [saved(flat(w2()), "JPEG", quality=80)],
        "W3": lambda _: w3(),
        "W3once": lambda _: w3once(),
        "W5": lambda _: [saved(opened("png_2mp.png").resize((800, 600), lanczos), "PNG")],
        "W6": lambda _: [saved(fit("progressive_12mp.jpg", 400, 400), "JPEG", quality=80)],
        "W8": lambda _: [saved(fit("photo_2mp.jpg", 800, 600), "JPEG", quality=80)],
        "W9": lambda _: [saved(fit("photo_2mp.jpg", 512, 512), "JPEG", quality=80)],
    }
    if features.check("webp"):
        workloads["W1w"] = lambda _: [saved(fit("webp_12mp.webp", 400, 400), "WEBP", quality=80)]
        workloads["W2w"] = lambda _: [saved(w2(), "WEBP", quality=80)]
    if features.check("avif"):
        workloads["W4"] = lambda quality: [
            saved(fit("photo_2mp.jpg", 1200, 1200), "AVIF", quality=quality, speed=6, max_threads=1)
        ]
    return ("pillow-simd" if simd else "Pillow"), f"{'Pillow-SIMD' if simd else 'Pillow'} {PIL.__version__}", workloads


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(workloads, order):
    if "convert" in order:
        import pyvips

        pyvips.Image.new_from_file(order["convert"][0]).pngsave(order["convert"][1])
        return {}
    make = workloads.get(order["workload"])
    if make is None:
        return {"unsupported": True}
    started, cpu, n = time.perf_counter(), cpu_s(), 0
    while True:
        pictures = make(order["quality"])
        n += 1
        wall_ms = (time.perf_counter() - started) * 1e3
        if wall_ms >= order["min_ms"]:
            break
    cpu_ms = (cpu_s() - cpu) * 1e3
    if order.get("keep"):
        # The middle one of several pictures stands for all of them.
        with open(order["keep"], "wb") as file:
            file.write(pictures[len(pictures) // 2])
    return {"wall_ms": wall_ms / n, "cpu_ms": cpu_ms / n, "bytes": sum(map(len, pictures))}


def main():
    kind, corpus, logo = sys.argv[1:]
    make = {"pyvips": pyvips_workloads, "pillow": pillow_workloads}[kind]
    name, version, workloads = make(Files(corpus), logo)
    print(json.dumps({"name": name, "version": version}), flush=True)
    for line in sys.stdin:
        try:
            answer = run(workloads, json.loads(line))
        except Exception as error:  # Whatever a peer raises is told in the table's notes.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

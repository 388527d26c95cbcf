"""Pictures that the tests send, and what is looked for in those that come back. Pillow is the independent reader."""

import io
import os

from PIL import Image, ImageChops, ImageStat

CHROME_ACCEPT = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
# Where the astronaut's face lies in the sample picture of 512 x 512: left, top, right, bottom.
FACE = (176, 70, 268, 190)


def opened(data):
    """A decoded picture; fails when the bytes are no whole picture."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def encoded(picture, format_name, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def coordinate_coded(width, height):
    """Each pixel holds its own place: red is x, green is y. At most 256 x 256."""
    picture = Image.new("RGB", (width, height))
    picture.putdata([(x, y, 128) for y in range(height) for x in range(width)])
    return picture


def noise(width=64, height=64):
    """A PNG that no other picture equals."""
    return encoded(Image.frombytes("RGB", (width, height), os.urandom(width * height * 3)), "PNG")


def find_crop(source, part):
    """Left and top of the place where `source` holds exactly the pixels of `part`, or None."""
    source, part = source.convert("RGB"), part.convert("RGB")
    first_row = part.crop((0, 0, part.width, 1)).tobytes()
    for top in range(source.height - part.height + 1):
        row = source.crop((0, top, source.width, top + 1)).tobytes()
        at = row.find(first_row)
        while at >= 0:
            left = at // 3
            inside = at % 3 == 0 and left + part.width <= source.width
            if inside and source.crop((left, top, left + part.width, top + part.height)).tobytes() == part.tobytes():
                return left, top
            at = row.find(first_row, at + 1)
    return None


def differing_box(one, other):
    """The smallest rectangle that holds every differing pixel, or None."""
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox()


def mean_difference(one, other):
    """Mean absolute difference of the channels, in steps of 255."""
    means = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
    return sum(means) / len(means)

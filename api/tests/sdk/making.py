"""The official `cloudinary` package's calls that make pictures: text, sprite, multi."""

import io

import cloudinary.exceptions
import cloudinary.uploader
import urllib3
from PIL import Image, ImageSequence

from server import REPOSITORY

SAMPLES = REPOSITORY / "api/assets/samples"


def fetched(url):
    answer = urllib3.PoolManager().request("GET", url, timeout=60)
    assert answer.status == 200, (url, answer.status, answer.headers.get("X-Cld-Error"))
    return answer.data


class Making:
    """Mixed into a test case that has a server and `self.id`, a name of its own."""

    def test_texts(self):
        made = cloudinary.uploader.text("hello world")
        self.assertTrue(50 <= made["width"] <= 70 and 5 <= made["height"] <= 15, made)
        styled = cloudinary.uploader.text(
            "Grüße", public_id=f"{self.id}-text", font_family="Arial", font_size=40, font_color="red",
            font_weight="bold", font_style="italic", background="white", opacity=80, text_align="center",
            text_decoration="underline",
        )
        picture = Image.open(io.BytesIO(fetched(styled["url"])))
        self.assertEqual(picture.size, (styled["width"], styled["height"]))
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "Unknown font family Nonesuch"):
            cloudinary.uploader.text("a", font_family="Nonesuch")

    def test_sprites_and_animations(self):
        for name in ("rocket.jpg", "chelsea.png", "cloudinary_icon.png"):
            cloudinary.uploader.upload(str(SAMPLES / name), public_id=f"{self.id}-{name[:4]}", tags=self.id)
        sprite = cloudinary.uploader.generate_sprite(self.id, width=100, format="jpg", crop="scale")
        self.assertEqual(len(sprite["image_infos"]), 3)
        self.assertIn("f_jpg,w_100", sprite["css_url"])
        picture = Image.open(io.BytesIO(fetched(sprite["image_url"])))
        heights = [info["height"] for info in sprite["image_infos"].values()]
        self.assertEqual((picture.format, picture.size), ("JPEG", (100, sum(heights))))
        self.assertEqual(fetched(sprite["css_url"]).count(b"no-repeat"), 3)
        animation = cloudinary.uploader.multi(self.id, transformation={"width": 111, "crop": "scale"})
        self.assertTrue(animation["url"].endswith(".gif") and "w_111" in animation["url"], animation)
        frames = list(ImageSequence.Iterator(Image.open(io.BytesIO(fetched(animation["url"])))))
        self.assertEqual((len(frames), frames[0].size[0]), (3, 111))
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "f_pdf is not supported"):
            cloudinary.uploader.multi(self.id, format="pdf")
        for url, kind in (
            (cloudinary.uploader.download_generated_sprite(self.id, width=30), "PNG"),
            (cloudinary.uploader.download_multi(self.id, width=30), "GIF"),
        ):
            self.assertEqual(Image.open(io.BytesIO(fetched(url))).format, kind)
        later = cloudinary.uploader.generate_sprite(self.id, width=20, **{"async": True})
        self.assertEqual((later["status"], later["public_id"]), ("pending", self.id))
        exploded = cloudinary.uploader.upload(io.BytesIO(fetched(animation["url"])), public_id=f"{self.id}-film")
        self.assertEqual((exploded["format"], exploded["pages"]), ("gif", 3))
        answer = cloudinary.uploader.explode(f"{self.id}-film", page="all")
        self.assertEqual((answer["status"], bool(answer["batch_id"])), ("processing", True))
        self.assertEqual(cloudinary.uploader.destroy(self.id, type="sprite")["result"], "ok")


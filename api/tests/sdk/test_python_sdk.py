"""The official `cloudinary` package, unmodified, against the real server."""

import base64
import hashlib
import io
import os
import re
import signal
import socket
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import warnings
import zipfile
from pathlib import Path
from unittest import mock

import cloudinary
import cloudinary.exceptions
import cloudinary.uploader
import cloudinary.utils
import urllib3
from PIL import Image

import pictures
import recording
from searching import Searches
from server import REPOSITORY, Database, Server, program

SAMPLES = REPOSITORY / "api/assets/samples"
SECOND_CATALOG = os.environ.get("TINTYPE_TEST_POSTGRES")
NO_GPU = os.environ.get("TINTYPE_TEST_NO_GPU") == "1"

HEADLINE = (
    "w_400,h_350,g_face,c_crop/r_20,bo_5px_solid_black/"
    "l_cloudinary_icon,o_50,w_0.25,fl_relative,g_north_east,y_10,x_10/q_auto,f_auto"
)
# The same chain as an application writes it.
HEADLINE_OPTIONS = [
    {"width": 400, "height": 350, "gravity": "face", "crop": "crop"},
    {"radius": 20, "border": "5px_solid_black"},
    {
        "overlay": "cloudinary_icon",
        "opacity": 50,
        "width": 0.25,
        "flags": "relative",
        "gravity": "north_east",
        "y": 10,
        "x": 10,
    },
    {"quality": "auto", "fetch_format": "auto"},
]
LONGEST_WAIT_S = 60


def setUpModule():
    # A library that sets no timeout must not hang the run.
    socket.setdefaulttimeout(LONGEST_WAIT_S)
    if not program().exists():
        raise AssertionError(f"{program()} is missing")


class ServerCase:
    """Starts one server for all tests of a class and points the SDK at it, the way a person does: by its URL."""

    renderer = "cpu"
    on_postgres = False
    server_class = Server

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="tintype-sdk-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        catalog = None
        if cls.on_postgres:
            database = Database(SECOND_CATALOG)
            cls.addClassCleanup(database.drop)
            catalog = database.url
        cls.server = cls.server_class(cls.folder, cls.renderer, catalog)
        cls.addClassCleanup(cls.stop_server)
        cls.start_server()
        sources = cls.folder / "sources"
        sources.mkdir()
        cls.source = Image.open(SAMPLES / "astronaut.png").convert("RGB")
        cls.png = SAMPLES / "astronaut.png"
        cls.jpg = sources / "astronaut.jpg"
        cls.jpg.write_bytes(pictures.encoded(cls.source, "JPEG", quality=95))
        cls.webp = sources / "astronaut.webp"
        cls.webp.write_bytes(pictures.encoded(cls.source, "WEBP", quality=95))
        cls.sources = sources

    @classmethod
    def start_server(cls):
        cls.server.start()
        os.environ["CLOUDINARY_URL"] = cls.server.cloudinary_url
        cloudinary.reset_config()

    @classmethod
    def stop_server(cls):
        if cls.server.is_running():
            cls.server.stop()

    def setUp(self):
        if not self.server.is_running():
            self.start_server()

    def upload(self, file, **options):
        return cloudinary.uploader.upload(file, timeout=LONGEST_WAIT_S, **options)

    def url(self, public_id, **options):
        return cloudinary.utils.cloudinary_url(public_id, **options)[0]

    def fetch(self, url, status=200, method="GET", **headers):
        """The response, after checking its status."""
        response = self.server.get(url, method, **headers)
        if response.status != status:
            error = response.headers.get("X-Cld-Error")
            self.fail(f"{response.status} instead of {status} for {url}: {error}\n{self.server.log_tail()}")
        return response

    def picture(self, url, **headers):
        return pictures.opened(self.fetch(url, **headers).data)

    def assert_near(self, color, expected, tolerance, message=""):
        far = max(abs(one - other) for one, other in zip(color, expected))
        self.assertLessEqual(far, tolerance, f"{message}: {color} is not {expected}")


class Core(ServerCase):
    """What must work on every renderer and every catalog."""

    def test_the_server_says_what_it_runs_on(self):
        printed = "\n".join(self.server.lines)
        wanted = "renderer: gpu" if self.renderer == "software" else "renderer: cpu"
        self.assertIn(wanted, printed)
        self.assertIn("catalog: " + ("postgres" if self.on_postgres else "sqlite"), printed)
        urls = [word for word in printed.split() if word.startswith(cloudinary.config().upload_prefix + "/demo/")]
        self.assertGreaterEqual(len(urls), 3, printed)
        for url in urls:
            self.picture(url, Accept=pictures.CHROME_ACCEPT)

    def test_upload_of_a_path(self):
        result = self.upload(str(self.png), public_id="core/path", tags=["b", "a"])
        data = self.png.read_bytes()
        self.assertEqual(
            (result["public_id"], result["format"], result["width"], result["height"], result["bytes"]),
            ("core/path", "png", 512, 512, len(data)),
        )
        self.assertEqual(result["etag"], hashlib.md5(data).hexdigest())
        self.assertEqual(sorted(result["tags"]), ["a", "b"])
        self.assertEqual(self.fetch(result["secure_url"]).data, data)

    def renders(self):
        """How many pictures each backend has made since the start."""
        text = self.fetch("/metrics").data.decode()
        return {name: int(count) for name, count in re.findall(r'tintype_renders_total{backend="(\w+)"} (\d+)', text)}

    def test_headline(self):
        before = self.renders()
        for path in (self.jpg, self.png, self.webp):
            with self.subTest(source=path.suffix):
                public_id = "headline" + path.suffix.replace(".", "_")
                self.upload(str(path), public_id=public_id)
                url = self.url(public_id, format="jpg", transformation=HEADLINE_OPTIONS)
                modern = self.fetch(url, Accept=pictures.CHROME_ACCEPT)
                plain = self.fetch(url, Accept="*/*")
                self.assertEqual(modern.headers["Content-Type"], "image/avif")
                self.assertEqual(plain.headers["Content-Type"], "image/jpeg")
                for response in (modern, plain):
                    self.check_headline(pictures.opened(response.data))
                literal = f"/demo/image/upload/{HEADLINE}/{public_id}.jpg"
                self.assertEqual(self.fetch(literal, Accept="*/*").data, plain.data)
                self.assertLess(pictures.mean_difference(pictures.opened(modern.data), pictures.opened(plain.data)), 8)
        after = self.renders()
        used = {name for name in after if after[name] > before.get(name, 0)}
        self.assertEqual(used, {"gpu" if self.renderer == "software" else "cpu"}, "another backend did the work")

    def check_headline(self, picture):
        self.assertEqual(picture.size, (410, 360))
        rgb = picture.convert("RGB")
        for place in ((2, 180), (407, 180), (205, 2), (205, 357)):
            self.assert_near(rgb.getpixel(place), (0, 0, 0), 48, f"border at {place}")
        self.assertGreater(max(rgb.getpixel((205, 140))), 60, "the middle is no border")
        alpha = picture.convert("RGBA").getpixel((0, 0))[3]
        corner = rgb.getpixel((0, 0))
        self.assertTrue(alpha < 32 or min(corner) > 200, f"the corner is neither clear nor white: {corner}, {alpha}")

    def test_headline_in_parts(self):
        """Where the crop and the logo lie, without loss by an encoder."""
        self.upload(str(self.png), public_id="parts")
        crop, frame, logo, _ = HEADLINE_OPTIONS
        lossless = {"fetch_format": "png"}
        cropped = self.picture(self.url("parts", transformation=[crop, lossless]))
        self.assertEqual(cropped.size, (400, 350))
        place = pictures.find_crop(self.source, cropped)
        self.assertIsNotNone(place, "the crop is no part of the source")
        left, top, right, bottom = pictures.FACE
        self.assertTrue(place[0] <= left and right <= place[0] + 400, f"the crop at {place} cuts the face")
        self.assertTrue(place[1] <= top and bottom <= place[1] + 350, f"the crop at {place} cuts the face")
        self.assertLess(abs(place[0] + 200 - (left + right) / 2), 30, f"the crop at {place} is not centered on the face")
        without = self.picture(self.url("parts", transformation=[crop, frame, lossless]))
        with_logo = self.picture(self.url("parts", transformation=[crop, frame, logo, lossless]))
        self.assertEqual(with_logo.size, (410, 360))
        box = pictures.differing_box(without, with_logo)
        self.assertIsNotNone(box, "the logo is not there")
        # A quarter of the width, twice as wide as high, 10 pixels from the corner; soft edges may be invisible.
        self.assertTrue(box[0] >= 290 and box[1] >= 8 and box[2] <= 402 and box[3] <= 66, f"the logo lies at {box}")
        self.assertTrue(box[2] - box[0] >= 60 and box[3] - box[1] >= 30, f"the logo is too small: {box}")
        region = pictures.mean_difference(without.crop(box), with_logo.crop(box))
        self.assertGreater(region, 4, "the logo can hardly be seen")

    def test_eager(self):
        fill = {"width": 100, "height": 80, "crop": "fill"}
        result = self.upload(
            str(self.jpg), public_id="core/eager", eager=[fill, {"width": 50, "crop": "scale", "format": "webp"}]
        )
        first, second = result["eager"]
        self.assertEqual((first["transformation"], first["width"], first["height"]), ("c_fill,h_80,w_100", 100, 80))
        self.assertEqual((second["transformation"], second["width"], second["height"]), ("c_scale,w_50/webp", 50, 50))
        self.assertEqual((first["format"], second["format"]), ("jpg", "webp"))
        built = self.url("core/eager", version=result["version"], format="jpg", transformation=[fill])
        self.assertEqual(first["secure_url"], built)
        for entry in (first, second):
            data = self.fetch(entry["secure_url"]).data
            self.assertEqual(len(data), entry["bytes"])
            self.assertEqual(pictures.opened(data).size, (entry["width"], entry["height"]))

    def test_restart_keeps_everything(self):
        data = pictures.noise()
        result = self.upload(io.BytesIO(data), public_id="core/kept")
        derived = self.url("core/kept", format="png", width=20, crop="scale")
        before = self.fetch(derived)
        address = self.server.cloudinary_url
        self.assertEqual(self.server.stop(), 0, self.server.log_tail())
        self.start_server()
        self.assertEqual(self.server.cloudinary_url, address, "the key or the secret changed")
        self.assertEqual(self.fetch(result["secure_url"]).data, data)
        after = self.fetch(derived)
        self.assertEqual((after.data, after.headers["ETag"]), (before.data, before.headers["ETag"]))
        self.assertIn("render;", before.headers["Server-Timing"])
        self.assertNotIn("render;", after.headers["Server-Timing"], "an orderly stop lost a picture")
        again = self.upload(io.BytesIO(data), public_id="core/kept")
        self.assertEqual(again["asset_id"], result["asset_id"])
        self.fetch("/demo/image/upload/astronaut.png")


class Uploads(ServerCase):
    """Everything that the SDK sends, and what it reads from the answer."""

    def test_a_stream(self):
        data = self.jpg.read_bytes()
        result = self.upload(io.BytesIO(data), public_id="from/stream")
        self.assertEqual((result["format"], result["original_filename"]), ("jpg", "stream"))
        self.assertEqual(self.fetch(result["url"]).data, data)

    def test_a_data_uri(self):
        data = pictures.noise()
        uri = "data:image/png;base64," + base64.encodebytes(data).decode()
        result = self.upload(uri, public_id="from/uri")
        self.assertEqual((result["format"], result["etag"]), ("png", hashlib.md5(data).hexdigest()))

    def test_both_hashes_and_both_signature_versions(self):
        for algorithm in ("sha1", "sha256"):
            for version in (1, 2):
                with self.subTest(algorithm=algorithm, version=version):
                    public_id = f"signed/{algorithm}-{version}"
                    options = {"signature_algorithm": algorithm, "signature_version": version}
                    # The two versions sign an `&` differently.
                    result = self.upload(str(self.jpg), public_id=public_id, context={"alt": "a&b=c"}, **options)
                    self.assertEqual(result["public_id"], public_id)

    def test_the_answer(self):
        result = self.upload(str(self.webp), public_id="answers/all")
        expected = {"asset_id", "version_id", "signature", "resource_type", "created_at", "tags", "type", "placeholder"}
        self.assertEqual(expected - set(result), set())
        self.assertRegex(result["asset_id"], "^[0-9a-f]{32}$")
        self.assertRegex(result["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual((result["resource_type"], result["type"], result["format"]), ("image", "upload", "webp"))
        self.assertEqual((result["tags"], result["placeholder"]), ([], False))
        self.assertIsInstance(result["version"], int)
        self.assertLess(abs(result["version"] - time.time()), 300)
        self.assertRegex(result["request_id"], "^[0-9a-f]{32}$")
        self.assertEqual(result["api_key"], cloudinary.config().api_key)
        self.assertEqual(result["url"], self.url("answers/all", version=result["version"], format="webp"))
        signed = (result["public_id"], result["version"], result["signature"])
        verify = cloudinary.utils.verify_api_response_signature
        self.assertTrue(verify(*signed))
        self.assertFalse(verify(result["public_id"], result["version"] + 1, result["signature"]))

    def test_generated_ids(self):
        result = self.upload(str(self.jpg))
        self.assertRegex(result["public_id"], "^[a-z0-9]{20}$")
        self.assertNotEqual(result["public_id"], self.upload(str(self.jpg))["public_id"])

    def test_ids_with_folders(self):
        result = self.upload(str(self.jpg), public_id="one/two/three", folder="zero")
        self.assertEqual(result["public_id"], "zero/one/two/three")
        self.fetch(self.url("zero/one/two/three", format="jpg"))

    def test_file_names(self):
        path = self.sources / "mein bild (ü).jpg"
        path.write_bytes(self.jpg.read_bytes())
        exact = self.upload(str(path), use_filename=True, unique_filename=False)
        self.assertEqual(exact["original_filename"], "mein bild (ü)")
        self.assertRegex(exact["public_id"], "^mein_bild_.ü.$")
        self.fetch(self.url(exact["public_id"], format="jpg"))
        unique = self.upload(str(path), use_filename=True)
        self.assertRegex(unique["public_id"], "^mein_bild_.ü._[a-z0-9]{6}$")

    def test_overwrite(self):
        first = self.upload(str(self.jpg), public_id="overwrite")
        kept = self.upload(str(self.png), public_id="overwrite", overwrite=False)
        self.assertIs(kept.get("existing"), True)
        same = ("asset_id", "version", "etag", "format")
        self.assertEqual([kept[name] for name in same], [first[name] for name in same])
        replaced = self.upload(str(self.png), public_id="overwrite")
        self.assertEqual(replaced["asset_id"], first["asset_id"])
        self.assertGreater(replaced["version"], first["version"])
        self.assertIs(replaced.get("overwritten"), True)
        self.assertEqual(replaced["format"], "png")
        self.assertEqual(self.fetch("/demo/image/upload/overwrite.png").data, self.png.read_bytes())

    def test_conversion(self):
        result = self.upload(str(self.png), public_id="converted", format="jpg")
        self.assertEqual(result["format"], "jpg")
        data = self.fetch(result["url"]).data
        self.assertEqual(pictures.opened(data).format, "JPEG")
        self.assertEqual((result["bytes"], result["etag"]), (len(data), hashlib.md5(data).hexdigest()))

    def test_coordinates_steer_the_crop(self):
        coded = pictures.encoded(pictures.coordinate_coded(200, 150), "PNG")
        result = self.upload(
            io.BytesIO(coded),
            public_id="coordinates",
            faces=True,
            face_coordinates=[[10, 20, 30, 40]],
            custom_coordinates=[120, 60, 30, 40],
        )
        self.assertEqual(result["faces"], [[10, 20, 30, 40]])
        for gravity, corner in (("face", (10, 20)), ("custom", (120, 60))):
            with self.subTest(gravity=gravity):
                options = {"width": 30, "height": 40, "crop": "crop", "gravity": gravity}
                part = self.picture(self.url("coordinates", format="png", **options)).convert("RGB")
                self.assertEqual(part.size, (30, 40))
                self.assertEqual(part.getpixel((0, 0)), (*corner, 128))
                self.assertEqual(part.getpixel((29, 39)), (corner[0] + 29, corner[1] + 39, 128))

    def test_basic_authentication(self):
        config = cloudinary.config()
        headers = urllib3.make_headers(basic_auth=f"{config.api_key}:{config.api_secret}")
        fields = {"public_id": "basic", "file": ("a.jpg", self.jpg.read_bytes())}
        target = self.server.base + "/v1_1/demo/image/upload"
        response = self.server.http.request("POST", target, fields=fields, headers=headers)
        self.assertEqual(response.status, 200, response.data)
        self.assertEqual(response.json()["public_id"], "basic")
        headers = urllib3.make_headers(basic_auth=f"{config.api_key}:wrong")
        response = self.server.http.request("POST", target, fields=fields, headers=headers)
        self.assertEqual(response.status, 401)
        self.assertIn("message", response.json()["error"])


class Refusals(ServerCase):
    """Each mistake raises the SDK's own exception with a text that helps."""

    def refused(self, exception, text, file, **options):
        with self.assertRaisesRegex(exception, text):
            self.upload(file, public_id=options.pop("public_id", "refused"), **options)
        self.fetch("/demo/image/upload/refused.png", 404)

    def test_credentials(self):
        denied = cloudinary.exceptions.AuthorizationRequired
        self.refused(denied, "Invalid Signature", str(self.jpg), api_secret="wrong")
        self.refused(denied, "nknown", str(self.jpg), api_key="000000000000000")
        self.refused(denied, "cloud_name", str(self.jpg), cloud_name="nobody")
        bad = cloudinary.exceptions.BadRequest
        for moment in (time.time() - 3 * 3600, 1):
            with mock.patch("cloudinary.utils.now", return_value=str(int(moment))):
                self.refused(bad, "Stale request", str(self.jpg))
        with self.assertRaisesRegex(bad, "(?i)preset"):
            cloudinary.uploader.unsigned_upload(str(self.jpg), "nothing", timeout=LONGEST_WAIT_S)

    def test_files(self):
        bad = cloudinary.exceptions.BadRequest
        self.refused(bad, "Empty file", io.BytesIO(b""))
        self.refused(bad, "Missing required parameter - file", "")
        self.refused(bad, "Invalid image file", io.BytesIO(b"This is a text, not a picture.\n" * 40))
        self.refused(bad, "Invalid image file", io.BytesIO(b"\xff\xd8\xff" + b"\0" * 20))
        self.refused(bad, "public_id", str(self.jpg), public_id="../../etc/passwd")

    def test_unknown_routes(self):
        with self.assertRaises(cloudinary.exceptions.NotFound):
            cloudinary.uploader.rename("missing", "other", timeout=LONGEST_WAIT_S)


class Deliveries(ServerCase):
    """Headers and statuses that browsers, caches and people rely on."""

    def test_the_format_follows_accept(self):
        clear = Image.new("RGBA", (60, 40), (200, 30, 30, 90))
        self.upload(io.BytesIO(pictures.encoded(clear, "PNG")), public_id="clear")
        url = self.url("clear", format="png", fetch_format="auto", width=30, crop="scale")
        for accept, content_type in ((pictures.CHROME_ACCEPT, "image/avif"), ("image/webp,*/*", "image/webp"), ("*/*", "image/png")):
            response = self.fetch(url, Accept=accept)
            self.assertEqual(response.headers["Content-Type"], content_type)
            self.assertIn("Accept", response.headers["Vary"])
            pixel = pictures.opened(response.data).convert("RGBA").getpixel((15, 10))
            self.assert_near(pixel, (200, 30, 30, 90), 12, content_type)
        fixed = self.fetch(self.url("clear", format="webp", width=30, crop="scale"))
        self.assertEqual(fixed.headers["Content-Type"], "image/webp")

    def test_conditional_requests(self):
        url = self.url("astronaut", format="jpg", width=90, crop="scale")
        first = self.fetch(url)
        tag = first.headers["ETag"]
        self.assertRegex(tag, '^"[^"]+"$')
        self.assertIn("Last-Modified", first.headers)
        self.assertIn("Server-Timing", first.headers)
        unchanged = self.fetch(url, 304, If_None_Match=tag)
        self.assertEqual((unchanged.data, unchanged.headers["ETag"]), (b"", tag))
        self.assertEqual(self.fetch(url, If_None_Match='"other"').data, first.data)
        head = self.fetch(url, method="HEAD")
        self.assertEqual((head.data, head.headers["ETag"]), (b"", tag))
        self.assertEqual(int(head.headers["Content-Length"]), len(first.data))

    def test_lifetimes(self):
        version = self.upload(str(self.jpg), public_id="lifetimes")["version"]
        versioned = self.fetch(self.url("lifetimes", format="jpg", version=version)).headers["Cache-Control"]
        self.assertIn("public", versioned)
        self.assertIn("immutable", versioned)
        unversioned = self.fetch(self.url("lifetimes", format="jpg")).headers["Cache-Control"]
        self.assertIn("max-age=", unversioned)
        self.assertNotIn("immutable", unversioned)

    def test_an_overwritten_picture_is_not_served_from_memory(self):
        one, two = (pictures.encoded(Image.new("RGB", (40, 40), color), "PNG") for color in ("red", "blue"))
        self.upload(io.BytesIO(one), public_id="changing")
        url = self.url("changing", format="png", width=20, crop="scale")
        self.assert_near(self.picture(url).convert("RGB").getpixel((10, 10)), (255, 0, 0), 2)
        self.upload(io.BytesIO(two), public_id="changing", invalidate=True)
        self.assert_near(self.picture(url).convert("RGB").getpixel((10, 10)), (0, 0, 255), 2)

    def test_signed_addresses(self):
        options = {"format": "jpg", "width": 64, "crop": "scale", "sign_url": True}
        for more in ({}, {"signature_algorithm": "sha256"}, {"long_url_signature": True}, {"version": 1}):
            with self.subTest(**more):
                url = self.url("astronaut", **options, **more)
                self.assertEqual(self.picture(url).size, (64, 64))
                start = url.index("s--") + 3
                other = "A" if url[start] != "A" else "B"
                for tampered in (url[:start] + other + url[start + 1 :], url.replace("w_64", "w_65")):
                    refused = self.fetch(tampered, 401)
                    self.assertIn("ignature", refused.headers["X-Cld-Error"])

    def test_errors_say_what_is_wrong(self):
        for path, status, text in (
            ("missing.jpg", 404, "missing"),
            ("w_10/missing.jpg", 404, "missing"),
            ("w_abc/astronaut.jpg", 400, ""),
            ("e_blur/astronaut.jpg", 400, "e_blur"),
            ("e_blur:300,w_100/astronaut.jpg", 400, "e_blur"),
            ("w_100,c_scale/l_nothing/astronaut.jpg", 404, "nothing"),
        ):
            with self.subTest(path=path):
                response = self.server.get("/demo/image/upload/" + path)
                # The spec leaves open whether a missing layer is the address's fault or the picture's.
                allowed = (400, 404) if "l_nothing" in path else (status,)
                self.assertIn(response.status, allowed)
                error = response.headers["X-Cld-Error"]
                self.assertTrue(error)
                self.assertIn(text, error)
                self.assertNotIn("immutable", response.headers.get("Cache-Control", ""))

    def test_huge_sizes_are_refused_quickly(self):
        for path in ("w_999999,h_999999,c_scale", "w_100,dpr_9999", "/".join(["w_10,c_scale"] * 3000)):
            started = time.monotonic()
            response = self.server.get(f"/demo/image/upload/{path}/astronaut.jpg")
            self.assertIn(response.status, (400, 414, 431), path[:40])
            self.assertLess(time.monotonic() - started, 5, path[:40])


class Archives(ServerCase):
    """Archives, signed downloads, and what is told about pictures; zipfile is the independent reader."""

    TWO = [{"width": 40, "height": 30, "crop": "fill"}, {"width": 20}]

    def archived(self):
        for name in ("one", "two"):
            self.upload(str(self.jpg), public_id=f"zipped/{name}", tags=["zipped"], type="upload")

    def names(self, data):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            self.assertIsNone(archive.testzip())
            return sorted(archive.namelist())

    def test_create_zip(self):
        self.archived()
        result = cloudinary.uploader.create_zip(tags="zipped", target_public_id="all", target_tags=["made"])
        self.assertEqual((result["resource_type"], result["public_id"]), ("raw", "all.zip"))
        self.assertEqual((result["resource_count"], result["file_count"]), (2, 2))
        data = self.fetch(result["url"]).data
        self.assertEqual(len(data), result["bytes"])
        self.assertEqual(self.names(data), ["zipped/one.jpg", "zipped/two.jpg"])
        result = cloudinary.uploader.create_zip(prefixes="zipped/", transformations=self.TWO, flatten_folders=True)
        self.assertEqual((result["resource_count"], result["file_count"]), (2, 4))
        result = cloudinary.uploader.create_archive(tags=["zipped"], target_format="tgz")
        with tarfile.open(fileobj=io.BytesIO(self.fetch(result["url"]).data)) as archive:
            self.assertEqual(sorted(archive.getnames()), ["zipped/one.jpg", "zipped/two.jpg"])
            self.assertEqual(archive.extractfile("zipped/one.jpg").read(), self.jpg.read_bytes())
        with self.assertRaisesRegex(cloudinary.exceptions.NotFound, "No resources found"):
            cloudinary.uploader.create_zip(tags="nothing has this")

    def test_download_zip_url(self):
        self.archived()
        url = cloudinary.utils.download_zip_url(tags="zipped", transformations=self.TWO)
        response = self.fetch(url)
        self.assertEqual(response.headers["Content-Type"], "application/zip")
        names = self.names(response.data)
        self.assertEqual(len(names), 4, names)
        self.assertEqual(names[0], "zipped/one/c_fill,h_30,w_40.jpg")
        url = cloudinary.utils.download_zip_url(public_ids=["zipped/one", "zipped/two"], flatten_folders=True)
        self.assertEqual(self.names(self.fetch(url).data), ["one.jpg", "two.jpg"])

    def test_private_download_url(self):
        self.upload(str(self.jpg), public_id="shut", type="private")
        url = cloudinary.utils.private_download_url("shut", "jpg", type="private", attachment=True)
        response = self.fetch(url)
        self.assertEqual(response.data, self.jpg.read_bytes())
        self.assertIn("shut.jpg", response.headers["Content-Disposition"])
        past = cloudinary.utils.private_download_url("shut", "jpg", type="private", expires_at=int(time.time()) - 9)
        self.fetch(past, status=400)
        png = cloudinary.utils.private_download_url("shut", "png", type="private")
        self.assertEqual(self.picture(png).format, "PNG")

    def test_analyses(self):
        result = self.upload(
            str(self.png), public_id="looked", colors=True, phash=True, faces=True, quality_analysis=True,
            image_metadata=True, responsive_breakpoints=[{"create_derived": False, "max_width": 300}],
        )
        self.assertRegex(result["phash"], "^[0-9a-f]{16}$")
        self.assertTrue(1 <= len(result["colors"]) <= 32 and result["predominant"]["google"])
        self.assertEqual(len(result["faces"]), 1)
        self.assertIsInstance(result["quality_analysis"]["focus"], float)
        points = result["responsive_breakpoints"][0]["breakpoints"]
        self.assertEqual((points[0]["width"], points[-1]["width"]), (300, 50))
        again = cloudinary.uploader.explicit("looked", type="upload", phash=True, quality_analysis=True)
        self.assertEqual(again["phash"], result["phash"])
        # The fixture of the SDK's own tests has this size, and its own tests ask for this rotation.
        wide = pictures.encoded(pictures.opened(self.png.read_bytes()).resize((241, 51)), "PNG")
        turned = [{"create_derived": False, "transformation": {"angle": angle}} for angle in (90, 45)]
        result = self.upload(io.BytesIO(wide), public_id="wide", responsive_breakpoints=turned)
        upright, tilted = result["responsive_breakpoints"]
        self.assertEqual((upright["transformation"], tilted["transformation"]), ("a_90", "a_45"))
        self.assertEqual([point["width"] for point in upright["breakpoints"]], [51, 50])
        # Only right angles are rendered: the rest is refused by name, and no wrong picture is measured.
        self.assertEqual(tilted["status"], "failed")


class Durability(ServerCase):
    """What was acknowledged is there, whatever happened."""

    def test_kill_during_uploads(self):
        acknowledged = {}
        stop = threading.Event()

        def send(worker):
            for number in range(1000):
                if stop.is_set():
                    return
                data = pictures.noise()
                try:
                    result = self.upload(io.BytesIO(data), public_id=f"crash/{worker}-{number}")
                except cloudinary.exceptions.Error:
                    # The server died in the middle of this one: no promise was made.
                    return
                acknowledged[result["public_id"]] = (data, result)

        workers = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(4)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for worker in workers:
                worker.start()
            deadline = time.monotonic() + 20
            while len(acknowledged) < 40 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.server.kill()
            stop.set()
            for worker in workers:
                worker.join(LONGEST_WAIT_S)
                self.assertFalse(worker.is_alive(), "an upload hangs")
        self.assertGreaterEqual(len(acknowledged), 8, "too few uploads to mean anything")
        self.start_server()
        for public_id, (data, result) in acknowledged.items():
            delivered = self.fetch(result["secure_url"]).data
            self.assertEqual(delivered, data, f"{public_id} is damaged")
            self.assertEqual(result["etag"], hashlib.md5(data).hexdigest())
        self.assertEqual(self.upload(str(self.jpg), public_id="crash/after")["public_id"], "crash/after")


class CpuSqlite(Core, Uploads, Refusals, Deliveries, Archives, Durability, Searches, unittest.TestCase):
    """The whole suite."""


@unittest.skipIf(NO_GPU, "TINTYPE_TEST_NO_GPU is set")
class SoftwareSqlite(Core, unittest.TestCase):
    renderer = "software"


@unittest.skipUnless(SECOND_CATALOG, "TINTYPE_TEST_POSTGRES is not set")
class CpuPostgres(Core, Searches, unittest.TestCase):
    on_postgres = True


@unittest.skipUnless(SECOND_CATALOG, "TINTYPE_TEST_POSTGRES is not set")
@unittest.skipIf(NO_GPU, "TINTYPE_TEST_NO_GPU is set")
class SoftwarePostgres(Core, unittest.TestCase):
    renderer = "software"
    on_postgres = True


def interrupted(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Its tests are found under the names that this program's own have.
    sys.modules["test_python_sdk"] = sys.modules["__main__"]
    from test_library import LibraryPostgresS3, LibrarySqlite  # noqa: E402, F401
    from test_nodes import LibraryNodes, WholeNodes  # noqa: E402, F401
    from test_node_sdk import CommandLinePostgresS3, CommandLineSqlite, NodePostgresS3, NodeSqlite  # noqa: E402, F401

    signal.signal(signal.SIGTERM, interrupted)
    recording.RECORDER.install()
    runner = unittest.TextTestRunner(resultclass=recording.Result, verbosity=2)
    outcome = unittest.main(exit=False, testRunner=runner).result
    if recording.records_folder():
        recording.RECORDER.write(recording.records_folder(), f"suite-{os.getpid()}")
    nothing_ran = outcome.testsRun <= len(outcome.skipped)
    if nothing_ran:
        print("nothing ran", file=sys.stderr)
    sys.exit(0 if outcome.wasSuccessful() and not nothing_ran else 1)

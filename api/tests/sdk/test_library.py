"""The Admin API and the upload API's actions through the official SDK, on SQLite with a folder and on PostgreSQL with S3."""

import hashlib
import io
import os
import threading
import time
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor

import cloudinary
import cloudinary.api
import cloudinary.exceptions
import cloudinary.uploader
import urllib3
from accounts import Accounts, Definitions
from making import Making
from methods import Assets, Unbuilt
from recipes import Recipes
from test_python_sdk import SECOND_CATALOG, ServerCase

S3 = os.environ.get("TINTYPE_TEST_S3")


class Library(ServerCase):
    """Calls as an application makes them; each test keeps to ids of its own."""

    def setUp(self):
        super().setUp()
        self.id = f"t{uuid.uuid4().hex[:12]}"

    def test_ping_config_usage(self):
        self.assertEqual(cloudinary.api.ping()["status"], "ok")
        config = cloudinary.api.config(settings="true")
        self.assertEqual(config["settings"]["folder_mode"], "dynamic")
        usage = cloudinary.api.usage()
        for key in ("plan", "last_updated", "transformations", "objects", "bandwidth", "storage", "requests", "resources"):
            self.assertIn(key, usage)
        self.assertNotIn("limit", cloudinary.api.usage(date="2024-01-31")["bandwidth"])
        self.assertGreater(cloudinary.api.ping().rate_limit_remaining, 0)
        self.assertEqual(len(cloudinary.api.ping().rate_limit_reset_at), 9)

    def test_lists_and_cursors(self):
        for place in range(3):
            self.upload(str(self.jpg), public_id=f"{self.id}/{place}", tags=[self.id], context={"k": self.id})
        first = cloudinary.api.resources(type="upload", prefix=self.id, max_results=2)
        second = cloudinary.api.resources(type="upload", prefix=self.id, max_results=2, next_cursor=first["next_cursor"])
        ids = [entry["public_id"] for entry in first["resources"] + second["resources"]]
        self.assertEqual(ids, [f"{self.id}/{place}" for place in (2, 1, 0)])
        self.assertNotIn("next_cursor", second)
        named = cloudinary.api.resources_by_ids([f"{self.id}/0", "nope"], tags=True)
        self.assertEqual([entry["tags"] for entry in named["resources"]], [[self.id]])
        self.assertEqual(len(cloudinary.api.resources_by_tag(self.id)["resources"]), 3)
        self.assertEqual(len(cloudinary.api.resources_by_context("k", self.id)["resources"]), 3)
        self.assertIn(self.id, cloudinary.api.tags(prefix=self.id)["tags"])
        asset_id = named["resources"][0]["asset_id"]
        self.assertEqual(cloudinary.api.resource_by_asset_id(asset_id)["public_id"], f"{self.id}/0")
        self.assertEqual(len(cloudinary.api.resources_by_asset_ids([asset_id])["resources"]), 1)

    def test_details_and_update(self):
        public_id = f"{self.id}/a b(1)"
        self.upload(str(self.jpg), public_id=public_id, eager=[{"width": 20, "crop": "scale"}])
        found = cloudinary.api.resource(public_id)
        self.assertEqual(len(found["derived"]), 1)
        self.assertNotIn("tags", found)
        cloudinary.api.update(
            public_id,
            tags=["b", "a"],
            context={"alt": "x=y|z", "caption": "c"},
            face_coordinates=[[1, 2, 3, 4]],
            moderation_status="approved",
            asset_folder=f"{self.id}/in",
            display_name="Shown",
        )
        found = cloudinary.api.resource(public_id, faces=True)
        self.assertEqual(found["context"], {"custom": {"alt": "x=y|z", "caption": "c"}})
        self.assertEqual((found["faces"], found["display_name"]), ([[1, 2, 3, 4]], "Shown"))
        self.assertEqual(found["moderation"][0]["status"], "approved")
        listed = cloudinary.api.resources_by_asset_folder(f"{self.id}/in")
        self.assertEqual((listed["total_count"], listed["resources"][0]["public_id"]), (1, public_id))
        with self.assertRaisesRegex(cloudinary.exceptions.NotFound, "Resource not found - nope"):
            cloudinary.api.resource("nope")
        with self.assertRaisesRegex(cloudinary.exceptions.BadRequest, "Illegal value"):
            cloudinary.api.update(public_id, ocr="illegal")

    def test_tags_context_rename_explicit_destroy(self):
        one, two = f"{self.id}-1", f"{self.id}-2"
        for public_id in (one, two):
            self.upload(str(self.jpg), public_id=public_id, tags="z")
        self.assertEqual(cloudinary.uploader.add_tag("y,x", [one, two, "nope"])["public_ids"], [one, two])
        self.assertEqual(cloudinary.api.resource(one)["tags"], ["x", "y", "z"])
        cloudinary.uploader.remove_tag("x", [one])
        cloudinary.uploader.replace_tag("only", [two])
        self.assertEqual(cloudinary.api.resource(one)["tags"], ["y", "z"])
        self.assertEqual(cloudinary.api.resource(two)["tags"], ["only"])
        cloudinary.uploader.remove_all_tags([one])
        self.assertNotIn("tags", cloudinary.api.resource(one))
        cloudinary.uploader.add_context({"k": "v=1|2"}, [one])
        self.assertEqual(cloudinary.api.resource(one)["context"], {"custom": {"k": "v=1|2"}})
        cloudinary.uploader.remove_all_context([one])
        self.assertNotIn("context", cloudinary.api.resource(one))
        done = cloudinary.uploader.explicit(one, type="upload", eager=[{"width": 30, "crop": "scale"}], tags=["e"])
        picture = self.picture(done["eager"][0]["secure_url"])
        self.assertEqual((picture.width, done["tags"]), (30, ["e"]))
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "already exists"):
            cloudinary.uploader.rename(one, two)
        self.assertEqual(cloudinary.uploader.rename(one, two, overwrite=True)["public_id"], two)
        self.assertEqual(cloudinary.uploader.destroy(two), {"result": "ok"} | {"request_id": mock_any()})
        self.assertEqual(cloudinary.uploader.destroy(two)["result"], "not found")
        self.fetch(self.url(two, format="jpg"), 404)

    def test_deletion_in_all_its_forms(self):
        for place in range(4):
            self.upload(str(self.jpg), public_id=f"{self.id}/{place}", tags=[f"{self.id}-{place // 3}"], eager=[{"width": 9}])
        deleted = cloudinary.api.delete_resources([f"{self.id}/0", "nope"])
        self.assertEqual(deleted["deleted"], {f"{self.id}/0": "deleted", "nope": "not_found"})
        self.assertEqual(deleted["deleted_counts"][f"{self.id}/0"], {"original": 1, "derived": 1})
        derived = cloudinary.api.resource(f"{self.id}/1")["derived"][0]["id"]
        self.assertEqual(cloudinary.api.delete_derived_resources([derived])["deleted"], {derived: "deleted"})
        self.assertEqual(cloudinary.api.resource(f"{self.id}/1")["derived"], [])
        cloudinary.api.delete_resources([f"{self.id}/2"], keep_original=True)
        self.assertEqual(cloudinary.api.resource(f"{self.id}/2")["derived"], [])
        cloudinary.api.delete_resources_by_tag(f"{self.id}-1")
        with self.assertRaises(cloudinary.exceptions.NotFound):
            cloudinary.api.resource(f"{self.id}/3")
        cloudinary.api.delete_resources_by_prefix(self.id)
        self.assertEqual(cloudinary.api.resources(type="upload", prefix=self.id)["resources"], [])

    def test_backup_and_restore(self):
        first = self.upload(str(self.jpg), public_id=self.id, backup=True)
        self.upload(str(self.webp), public_id=self.id, backup=True)
        cloudinary.api.delete_resources([self.id])
        placeholder = cloudinary.api.resource(self.id, versions=True)
        self.assertEqual((placeholder["placeholder"], placeholder["bytes"]), (True, 0))
        self.assertEqual(len(placeholder["versions"]), 2)
        self.fetch(self.url(self.id, format="webp"), 404)
        self.assertEqual(cloudinary.api.restore([self.id])[self.id]["format"], "webp")
        versions = [placeholder["versions"][0]["version_id"]]
        restored = cloudinary.api.restore([self.id], versions=versions)[self.id]
        self.assertEqual(restored["etag"], first["etag"])
        self.assertEqual(hashlib.md5(self.fetch(self.url(self.id, format="jpg")).data).hexdigest(), first["etag"])

    def test_folders(self):
        cloudinary.api.create_folder(f"{self.id}/one")
        cloudinary.api.create_folder(f"{self.id}/two")
        self.assertIn(self.id, [folder["name"] for folder in cloudinary.api.root_folders()["folders"]])
        self.assertEqual([folder["name"] for folder in cloudinary.api.subfolders(self.id)["folders"]], ["one", "two"])
        cloudinary.api.rename_folder(f"{self.id}/one", f"{self.id}/three")
        self.assertEqual(cloudinary.api.delete_folder(f"{self.id}/three")["deleted"], [f"{self.id}/three"])
        with self.assertRaisesRegex(cloudinary.exceptions.NotFound, "Can't find folder with path"):
            cloudinary.api.subfolders(f"{self.id}/nope")

    def test_transformations(self):
        name = self.id
        cloudinary.api.create_transformation(name, {"width": 31, "crop": "scale"})
        found = cloudinary.api.transformation(name)
        self.assertEqual((found["info"], found["used"]), ([{"crop": "scale", "width": 31}], False))
        self.upload(str(self.jpg), public_id=self.id)
        self.assertEqual(self.picture(self.url(self.id, format="jpg", transformation=name)).width, 31)
        cloudinary.api.update_transformation(name, unsafe_update={"width": 33, "crop": "scale"}, allowed_for_strict=False)
        self.assertEqual(cloudinary.api.transformation(name)["allowed_for_strict"], False)
        deadline = time.monotonic() + 20
        while self.picture(self.url(self.id, format="jpg", transformation=name)).width != 33:
            self.assertLess(time.monotonic(), deadline, "the update is not seen")
            time.sleep(0.2)
        self.assertIn(f"t_{name}", [entry["name"] for entry in cloudinary.api.transformations(max_results=500)["transformations"]])
        cloudinary.api.delete_transformation(name)
        with self.assertRaises(cloudinary.exceptions.NotFound):
            cloudinary.api.transformation(name)

    def test_presets_and_unsigned_uploads(self):
        name = cloudinary.api.create_upload_preset(unsigned=True, folder=self.id, tags="p", allowed_formats="jpg")["name"]
        preset = cloudinary.api.upload_preset(name)
        self.assertEqual((preset["unsigned"], preset["settings"]["tags"], preset["settings"]["folder"]), (True, ["p"], self.id))
        result = cloudinary.uploader.unsigned_upload(str(self.jpg), name, timeout=60)
        self.assertRegex(result["public_id"], f"^{self.id}/[a-z0-9]+$")
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "Image file format webp not allowed"):
            cloudinary.uploader.unsigned_upload(str(self.webp), name, timeout=60)
        cloudinary.api.update_upload_preset(name, unsigned=False)
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "must be whitelisted for unsigned uploads"):
            cloudinary.uploader.unsigned_upload(str(self.jpg), name, timeout=60)
        cloudinary.api.delete_upload_preset(name)
        with self.assertRaises(cloudinary.exceptions.NotFound):
            cloudinary.api.upload_preset(name)

    def test_mappings_and_streaming_profiles(self):
        cloudinary.api.create_upload_mapping(self.id, template="https://example.com/")
        self.assertEqual(cloudinary.api.upload_mapping(self.id)["template"], "https://example.com/")
        cloudinary.api.update_upload_mapping(self.id, template="https://example.org/")
        self.assertIn(self.id, [entry["folder"] for entry in cloudinary.api.upload_mappings()["mappings"]])
        cloudinary.api.delete_upload_mapping(self.id)
        profiles = [entry["name"] for entry in cloudinary.api.list_streaming_profiles()["data"]]
        self.assertLessEqual({"4k", "full_hd", "hd", "sd"}, set(profiles))
        transformation = [{"transformation": {"bit_rate": "5m", "height": 1200, "width": 1200, "crop": "limit"}}]
        cloudinary.api.create_streaming_profile(self.id, representations=transformation)
        found = cloudinary.api.get_streaming_profile(self.id)["data"]
        self.assertEqual(found["representations"][0]["transformation"][0]["height"], 1200)
        cloudinary.api.delete_streaming_profile(self.id)

    def test_metadata(self):
        year, kinds = f"y{self.id}", f"k{self.id}"
        cloudinary.api.add_metadata_field({"external_id": year, "label": year, "type": "integer"})
        cloudinary.api.add_metadata_field({
            "external_id": kinds,
            "label": kinds,
            "type": "set",
            "datasource": {"values": [{"external_id": "a", "value": "A"}, {"external_id": "b", "value": "B"}]},
        })
        result = self.upload(str(self.jpg), public_id=self.id, metadata={year: 2025, kinds: ["a", "b"]})
        self.assertEqual(result["metadata"], {year: 2025, kinds: ["a", "b"]})
        self.assertEqual(cloudinary.uploader.update_metadata({year: 2024}, [self.id])["public_ids"], [self.id])
        self.assertEqual(cloudinary.api.resource(self.id)["metadata"][year], 2024)
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "is not valid for field"):
            self.upload(str(self.jpg), metadata={year: "old"})
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "Metadata External IDs do not exist"):
            self.upload(str(self.jpg), metadata={"nope": "1"})
        cloudinary.api.update_metadata_field_datasource(kinds, [{"external_id": "c", "value": "C"}])
        left = cloudinary.api.delete_datasource_entries(kinds, ["a"])
        self.assertEqual([entry["external_id"] for entry in left["values"]], ["b", "c"])
        restored = cloudinary.api.restore_metadata_field_datasource(kinds, ["a"])
        self.assertEqual(len(restored["values"]), 3)
        cloudinary.api.delete_metadata_field(year)
        with self.assertRaises(cloudinary.exceptions.NotFound):
            cloudinary.api.metadata_field_by_field_id(year)
        cloudinary.api.delete_metadata_field(kinds)

    def test_raw_files_and_parts(self):
        data = bytes(place % 251 for place in range(12_000_000))
        result = cloudinary.uploader.upload_large(
            io.BytesIO(data), chunk_size=5 << 20, public_id=f"{self.id}.bin", filename="big.bin", timeout=60
        )
        self.assertEqual((result["bytes"], result["etag"]), (len(data), hashlib.md5(data).hexdigest()))
        self.assertEqual(self.fetch(result["secure_url"]).data, data)
        result = cloudinary.uploader.upload_large(str(self.jpg), resource_type="image", tags=["t"], timeout=60)
        self.assertEqual((result["width"], result["tags"]), (512, ["t"]))

    def at_once(self, count, call):
        """The answers of so many clients that call at the same moment."""
        barrier = threading.Barrier(count)

        def client(number):
            barrier.wait(60)
            return call(number)

        with ThreadPoolExecutor(count) as clients:
            return list(clients.map(client, range(count)))

    def test_fifty_clients_race_for_one_id(self):
        def send(number, **options):
            data = io.BytesIO(f"file {number} of {self.id}".encode())
            return cloudinary.uploader.upload(data, resource_type="raw", timeout=120, **options)

        answers = self.at_once(50, lambda number: send(number, public_id=self.id))
        self.assertEqual(len({answer["version_id"] for answer in answers}), 50)
        self.assertEqual(len({answer["asset_id"] for answer in answers}), 1)
        left = cloudinary.api.resource(self.id, resource_type="raw")
        self.assertIn(left["etag"], {answer["etag"] for answer in answers})
        # As the last of them answered, or the front gave the request to a server that does not know yet.
        deadline = time.monotonic() + 10
        while hashlib.md5(self.fetch(left["secure_url"]).data).hexdigest() != left["etag"]:
            self.assertLess(time.monotonic(), deadline, "what is delivered is not what the record says")
            time.sleep(0.05)

        first = self.at_once(50, lambda number: send(number, public_id=f"{self.id}-once", overwrite=False))
        made = [answer for answer in first if not answer.get("existing")]
        self.assertEqual(len(made), 1, "more than one created what was not to be overwritten")
        self.assertEqual({answer["etag"] for answer in first}, {made[0]["etag"]})

        def change(number):
            kinds = (
                lambda: send(number, public_id=self.id),
                lambda: cloudinary.uploader.destroy(self.id, resource_type="raw", invalidate=True),
                lambda: cloudinary.uploader.rename(self.id, f"{self.id}-away", resource_type="raw", overwrite=True),
                lambda: cloudinary.uploader.rename(f"{self.id}-away", self.id, resource_type="raw", overwrite=True),
                lambda: cloudinary.uploader.add_tag("t", [self.id], resource_type="raw"),
            )
            try:
                kinds[number % len(kinds)]()
            except cloudinary.exceptions.NotFound:
                pass

        self.at_once(50, change)
        for public_id in (self.id, f"{self.id}-away"):
            try:
                left = cloudinary.api.resource(public_id, resource_type="raw")
            except cloudinary.exceptions.NotFound:
                continue
            self.assertEqual(len(self.fetch(left["secure_url"]).data), left["bytes"])

    def test_related_assets(self):
        for place in range(2):
            self.upload(str(self.jpg), public_id=f"{self.id}-{place}")
        related = cloudinary.api.add_related_assets(f"{self.id}-0", [f"image/upload/{self.id}-1"])
        self.assertEqual(related["success"][0]["status"], 200)
        found = cloudinary.api.resource(f"{self.id}-1", related=True)
        self.assertEqual(found["related_assets"][0]["public_id"], f"{self.id}-0")
        cloudinary.api.delete_related_assets(f"{self.id}-1", [f"image/upload/{self.id}-0"])


class mock_any:
    """Equal to anything: for what differs from call to call."""

    def __eq__(self, other):
        return True


def in_bucket(server):
    """Puts a server's blobs into a bucket of its own."""
    if "TINTYPE_STORAGE" in server.environment:
        return
    bucket = f"sdk-{uuid.uuid4().hex[:12]}"
    # The server program of the tests checks no signatures.
    made = urllib3.PoolManager().request("PUT", f"{S3}/{bucket}", timeout=20)
    assert made.status == 200, made.data
    server.environment |= {
        "TINTYPE_STORAGE": "s3",
        "TINTYPE_S3_ENDPOINT": S3,
        "TINTYPE_S3_BUCKET": bucket,
        "TINTYPE_S3_REGION": "us-east-1",
        "TINTYPE_S3_ACCESS_KEY_ID": "test",
        "TINTYPE_S3_SECRET_ACCESS_KEY": "test",
        "TINTYPE_S3_PATH_STYLE": "true",
    }


class LibrarySqlite(Library, Making, Assets, Unbuilt, Accounts, Definitions, Recipes, unittest.TestCase):
    """SQLite and a folder."""


@unittest.skipUnless(SECOND_CATALOG and S3, "TINTYPE_TEST_POSTGRES and TINTYPE_TEST_S3 are not set")
class LibraryPostgresS3(Library, Making, Assets, Unbuilt, Accounts, Definitions, Recipes, unittest.TestCase):
    """PostgreSQL and a bucket of its own."""

    on_postgres = True

    @classmethod
    def start_server(cls):
        in_bucket(cls.server)
        super().start_server()

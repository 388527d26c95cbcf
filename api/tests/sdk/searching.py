"""Searches by the official SDK."""

import io

import cloudinary
import cloudinary.api
import cloudinary.exceptions

import pictures

Search = cloudinary.Search


class Searches:
    """For the cases in test_python_sdk.py; each server gets the library once."""

    def library(self):
        """Uploads what is searched for; gives the answers of the uploads by name."""
        filled = getattr(self.server, "searching", None)
        if filled is None:
            filled = {}
            for index, name in enumerate(("first", "second", "third")):
                data = pictures.encoded(pictures.coordinate_coded(40 + 10 * index, 30), "PNG")
                filled[name] = self.upload(
                    io.BytesIO(data),
                    public_id=f"searching/sdk_test_{index}_{name}",
                    tags=["searching_tag", f"searching_tag_{index}"],
                    context={"stage": f"in_{name}"},
                )
            self.server.searching = filled
        return filled

    def found(self, expression, *sort):
        search = Search().expression(expression)
        for key in sort:
            search = search.sort_by(*key)
        result = search.execute()
        self.assertEqual(result["total_count"], len(result["resources"]))
        return [entry["public_id"].rsplit("_", 1)[1] for entry in result["resources"]]

    def test_search_finds_by_fields(self):
        library = self.library()
        first = library["first"]
        everything = Search().execute()
        self.assertGreaterEqual(everything["total_count"], 3)
        for expression, wanted in (
            ("tags:searching_tag", ["first", "second", "third"]),
            ("tags=searching_tag", ["first", "second", "third"]),
            ("tags=searching_tag_1", ["second"]),
            (f"public_id: {first['public_id']}", ["first"]),
            (f"public_id={first['public_id']}", ["first"]),
            ("public_id:searching/sdk_*", ["first", "second", "third"]),
            (f"asset_id={first['asset_id']}", ["first"]),
            (f"asset_id:{first['asset_id']}", ["first"]),
            (f"etag={first['etag']}", ["first"]),
            ("context.stage:in_second", ["second"]),
            ("tags:searching_tag AND width>40 AND -width=60", ["second"]),
            ("tags:searching_tag AND uploaded_at>1d AND bytes<1m", ["first", "second", "third"]),
            ("tags:searching_tag AND created_at>2099-01-01", []),
            ("tags=searching_tag AND resource_type:(video OR raw)", []),
        ):
            with self.subTest(expression=expression):
                self.assertEqual(self.found(expression, ("public_id", "asc")), wanted)
        self.assertEqual(self.found("tags=searching_tag", ("width",)), ["third", "second", "first"])

    def test_search_pages(self):
        self.library()
        search = Search().expression("tags:searching_tag").max_results(1).sort_by("public_id", "asc")
        seen = []
        result = search.execute()
        while True:
            self.assertEqual((result["total_count"], len(result["resources"])), (3, 1))
            self.assertIsInstance(result["time"], int)
            seen.append(result["resources"][0]["public_id"])
            if "next_cursor" not in result:
                break
            result = search.next_cursor(result["next_cursor"]).execute()
        self.assertEqual(seen, [entry["public_id"] for entry in self.library().values()])

    def test_search_shows_what_was_asked_for(self):
        self.library()
        search = Search().expression("tags:searching_tag")
        for entry in search.execute()["resources"]:
            self.assertFalse({"tags", "context", "image_metadata"} & set(entry), entry)
        search = search.with_field("context").with_field("tags").with_field("image_metadata")
        for entry in search.execute()["resources"]:
            self.assertTrue({"tags", "context", "image_metadata"} <= set(entry), entry)
            self.assertRegex(entry["context"]["stage"], "^in_")
        narrow = Search().expression("tags:searching_tag").fields("tags").fields(["width", "height"]).execute()
        wanted = {"asset_id", "public_id", "created_at", "status", "type", "resource_type", "asset_folder"}
        for entry in narrow["resources"]:
            self.assertEqual(set(entry), wanted | {"tags", "width", "height"})
        counted = Search().expression("tags:searching_tag").aggregate("format").aggregate("resource_type").execute()
        self.assertEqual(counted["aggregations"], {"format": {"png": 3}, "resource_type": {"image": 3}})

    def test_search_tells_the_place_of_an_error(self):
        for expression, place in (("*", 1), ("tags:searching AND (", 21)):
            with self.assertRaisesRegex(cloudinary.exceptions.BadRequest, rf"Query Error \(at position {place}\)"):
                Search().expression(expression).execute()

    def test_search_by_a_signed_address(self):
        self.library()
        search = Search().expression("tags:searching_tag").max_results(2).sort_by("public_id", "asc").ttl(120)
        response = self.fetch(search.to_url())
        self.assertEqual(response.headers["Cache-Control"], "max-age=120")
        first = response.json()
        self.assertEqual((first["total_count"], len(first["resources"])), (3, 2))
        last = self.fetch(search.to_url(300, first["next_cursor"])).json()
        self.assertEqual([entry["public_id"] for entry in last["resources"]], ["searching/sdk_test_2_third"])
        self.fetch(search.to_url(api_secret="wrong"), 401)

    def test_search_of_folders(self):
        for path in ("searching_folders/a", "searching_folders/b"):
            cloudinary.api.create_folder(path)
        search = cloudinary.SearchFolders().expression("path:searching_folders/*").sort_by("name", "asc")
        result = search.execute()
        wanted = ["searching_folders/a", "searching_folders/b", "searching_folders"]
        self.assertEqual([folder["path"] for folder in result["folders"]], wanted)
        one = search.max_results(1).execute()
        self.assertEqual((one["total_count"], len(one["folders"])), (3, 1))
        two = search.next_cursor(one["next_cursor"]).execute()
        self.assertEqual(two["folders"][0]["path"], "searching_folders/b")
        exact = cloudinary.SearchFolders().expression('path="searching_folders"').execute()
        self.assertEqual([folder["name"] for folder in exact["folders"]], ["searching_folders"])

"""`tintype sdk` prints what a shell can take over, and what then works."""

import subprocess

import cloudinary.api

from server import REPOSITORY, program

VENV = REPOSITORY / ".tools" / "venv" / "bin"
PYTHON_PROGRAM = """
import cloudinary.api, cloudinary.utils
print(cloudinary.api.ping()["status"], cloudinary.utils.cloudinary_url("astronaut", format="jpg", width=20, crop="scale")[0])
"""
NODE_PROGRAM = """
const { v2: cloudinary } = require("cloudinary");
cloudinary.api.ping().then((pong) => console.log(pong.status, cloudinary.url("astronaut", { secure: false, format: "jpg", width: 20, crop: "scale" })));
"""


class Recipes:
    """Mixed into a test case with a server that speaks http."""

    def printed(self, *arguments):
        done = subprocess.run(
            [str(program()), "sdk", *arguments], cwd=self.folder, env=self.server.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def after(self, recipe, *command, **more):
        """What a command prints where a shell has taken a recipe over, in an environment that would mislead it."""
        misleading = {"CLOUDINARY_CLOUD_NAME": "elsewhere", "HOME": str(self.folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(
            ["bash", "-euc", f'{recipe}\nexec "$@"', "bash", *command], cwd=self.folder, env=misleading | more,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )
        self.assertEqual(done.returncode, 0, f"{recipe}\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def test_recipes(self):
        key = cloudinary.config()
        shown = self.printed()
        self.assertIn("tintype sdk", "\n".join(self.server.lines))
        self.assertNotIn(key.api_secret, shown)
        for word in (key.api_key, self.server.base, "CLOUDINARY_URL", "CLOUDINARY_SECURE", "provision-key", "--with-secret"):
            self.assertIn(word, shown)
        python = self.printed("python", "--with-secret")
        status, url = self.after(python, str(VENV / "python"), "-c", PYTHON_PROGRAM).split()
        self.assertEqual((status, self.picture(url).width), ("ok", 20))
        packages = {"NODE_PATH": str(REPOSITORY / ".tools" / "node" / "node_modules")}
        status, url = self.after(self.printed("node", "--with-secret"), "node", "-e", NODE_PROGRAM, **packages).split()
        self.assertEqual((status, self.picture(url).width), ("ok", 20))
        cli = self.printed("cli", "--with-secret")
        self.assertIn('"status": "ok"', self.after(cli, str(VENV / "cld"), "admin", "ping"))
        url = self.after(cli, str(VENV / "cld"), "url", "-t", "upload", "astronaut", "c_scale,w_20").splitlines()[-1]
        self.assertEqual(self.picture(url).width, 20)

// ipx as a server contender: node ipx_server.mjs MODULES FOLDER PORT. ipx takes its own copy of sharp, with its defaults.
import { createRequire } from "node:module";
import { createServer } from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";
import process from "node:process";

const [modules, folder, port] = process.argv.slice(2);
const require = createRequire(path.resolve(modules, "package.json"));
const { createIPX, createIPXNodeServer, ipxFSStorage } = await import(pathToFileURL(require.resolve("ipx")));
const handler = createIPXNodeServer(createIPX({ storage: ipxFSStorage({ dir: path.resolve(folder) }) }));
createServer(handler).listen(Number(port), "127.0.0.1");

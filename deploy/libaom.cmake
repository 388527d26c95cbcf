# How libaom is built (see .cargo/config.toml). Cargo does not notice changes of this file: `cargo clean -p libaom-sys`.

# Its build script asks for a debug build unless cargo builds a release: ten times slower, and with assertions that abort.
set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)

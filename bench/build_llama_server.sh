#!/bin/sh
# Build llama.cpp's own server to compare with: from the source that llama-cpp-python vendors, in
# the version and with the flags with which `make` builds it.  Takes ten minutes on two cores, and
# wants cmake and a C++ compiler.
#
#     bench/build_llama_server.sh [FOLDER]      FOLDER is build/llama-server unless given
#
# The last line is the path of the program, for `python -m bench.engine --server PATH`.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/llama-server}
version=$(sed -n 's/^llama_cpp_python==//p' constraints.txt)
flags=${CMAKE_ARGS:-$(sed -n 's/^export CMAKE_ARGS ?= //p' Makefile)}

mkdir -p "$folder/source"
"${PYTHON:-python3}" -m pip download --disable-pip-version-check --no-deps --dest "$folder" \
    --no-binary llama-cpp-python "llama-cpp-python==$version"
tar -xzf "$folder/llama_cpp_python-$version.tar.gz" -C "$folder/source" --strip-components 1

# What is switched off is neither built for Python nor asked of the server here.
# shellcheck disable=SC2086 # the flags are several words
cmake -S "$folder/source/vendor/llama.cpp" -B "$folder" -DCMAKE_BUILD_TYPE=Release $flags \
    -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_MTMD=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF
cmake --build "$folder" --target llama-server --parallel "$(nproc)"
echo "$(cd "$folder" && pwd)/bin/llama-server"

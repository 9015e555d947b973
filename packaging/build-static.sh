#!/bin/sh
# Builds the binary with the C library inside it, and puts it where the first argument says.
# A second argument names another profile than release.
set -eu
out=$1
profile=${2:-release}
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
folder=$profile
[ "$profile" = dev ] && folder=debug
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --package strongroom-server --profile "$profile" --target "$target"
mkdir -p "$(dirname "$out")"
cp "${CARGO_TARGET_DIR:-target}/$target/$folder/strongroom" "$out"
# A binary that asks for a loader would not start in an empty image.
libraries=$(ldd "$out" 2>/dev/null | grep '=>' || true)
if [ -n "$libraries" ]; then
    echo "build-static: $out asks for shared libraries: $libraries" >&2
    exit 1
fi

#!/bin/sh
# Rebuilds the committed kernel objects and records what they were built from.
#
#   ebpf/build.sh           with Debian's rustc-web (see README), or the toolchain in RUSTC
#   ebpf/build.sh --check   only says whether the sources still match the recorded digest
set -eu
cd "$(dirname "$0")"
# In the crate that includes them, so that it can be packaged.
bytecode=../cargo-beyla/bytecode

digest() {
    find src common/src Cargo.toml Cargo.lock common/Cargo.toml -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1
}

if [ "${1-}" = --check ]; then
    recorded=$(sed -n 's/^sources //p' $bytecode/DIGEST)
    if [ "$recorded" != "$(digest)" ]; then
        echo "error: the kernel programs have changed since cargo-beyla/bytecode/ was built" >&2
        echo "hint: run ebpf/build.sh and commit what it writes" >&2
        exit 1
    fi
    (cd $bytecode && sed -n 's/^object //p' DIGEST | sha256sum --check --quiet)
    echo "cargo-beyla/bytecode matches its sources"
    exit 0
fi

rustc=${RUSTC:-/usr/bin/rustc}
here=$(pwd)
# Line information goes into the objects: with the names of crates, and of nobody's folders.
remap=
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    remap="$remap --remap-path-prefix=$sources=crates"
done
for arch in x86_64 aarch64; do
    RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER=bpf-linker \
    CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS="--cfg bpf_target_arch=\"$arch\" -C link-arg=--btf -C debuginfo=2 --remap-path-prefix=$here=ebpf$remap" \
        cargo build --locked --release --target bpfel-unknown-none --target-dir "target/$arch"
    # The kernel wants the BTF, and nobody the DWARF that it was made from.
    "${LLVM_STRIP:-/usr/lib/llvm-22/bin/llvm-strip}" --strip-debug \
        -o "$bytecode/$arch.o" "target/$arch/bpfel-unknown-none/release/cargo-beyla-ebpf"
done
{
    echo "sources $(digest)"
    (cd $bytecode && sha256sum x86_64.o aarch64.o) | sed 's/^/object /'
    echo "rustc $($rustc --version)"
    echo "linker $(bpf-linker --version)"
} > $bytecode/DIGEST
cat $bytecode/DIGEST

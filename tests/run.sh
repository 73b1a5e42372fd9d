#!/usr/bin/env bash
# Everything that must hold before a change goes in, in one command; it ends at the first step that fails.
#
#   tests/run.sh            on Debian or Ubuntu with Rust stable; elsewhere install what it names first
#   FUZZ_SECONDS=600 tests/run.sh
#
# The tests load BPF programs and make users of the system, so they need root. As an ordinary user it
# starts itself through sudo, with build folders of root's own (target/as-root), and leaves yours alone.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "FAILED: the tests need root, and there is no sudo: run this as root" >&2
        exit 1
    fi
    # Sudo changes HOME and PATH, by which rustup finds its toolchains.
    exec sudo env "PATH=$PATH" "RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}" "FUZZ_SECONDS=${FUZZ_SECONDS:-60}" \
        "CARGO_HOME=$PWD/target/as-root/cargo" "CARGO_TARGET_DIR=$PWD/target/as-root" "$PWD/tests/run.sh"
fi
# Otherwise the tool would take the tests for those of the user who typed sudo.
unset SUDO_UID SUDO_GID SUDO_USER

tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
# Where an ordinary user can start them, wherever this repository lies.
databases=/var/cache/cargo-beyla-tests/databases
export PATH="$tools/bin:$tools/prometheus/usr/bin:$databases/bin:$PATH"

# step TITLE COMMAND...: a heading, the command, how long it took; the first failure ends it all.
step() {
    local title=$1 start=$SECONDS
    shift
    printf '\n==> %s\n' "$title"
    # Not in an `if`: that would let the command's own failures pass.
    trap 'printf "\nFAILED: %s\n" "'"$title"'" >&2' EXIT
    "$@"
    trap - EXIT
    printf '    done in %d s\n' $((SECONDS - start))
}

# What the steps call, and the Debian package that has it.
programs="cc:gcc c++:g++ curl:curl sudo:sudo useradd:passwd runuser:util-linux unshare:util-linux mount:mount
    h2load:nghttp2-client script:bsdutils setcap:libcap2-bin xmllint:libxml2-utils chromium:chromium"

system_packages() {
    local entry packages=()
    for entry in $programs; do
        command -v "${entry%%:*}" >/dev/null || packages+=("${entry#*:}")
    done
    # gcc alone brings no headers, and cargo no certificates.
    [ -e /usr/include/stdlib.h ] || packages+=(libc6-dev)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] || packages+=(ca-certificates)
    if [ ${#packages[@]} = 0 ]; then
        echo "all there"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "please install what Debian has in: ${packages[*]}" >&2
        return 1
    fi
    echo "installing: ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
}

# Out of Debian's package, which is not installed: that would start a server, and again whenever the machine does.
unpack_prometheus() {
    local folder=$tools/prometheus
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        prometheus --version 2>&1 | head -n 1
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "please install what Debian has in: prometheus" >&2
        return 1
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    apt-get update -qq
    (cd "$folder" && apt-get download -qq prometheus)
    dpkg -x "$folder"/prometheus_*.deb "$folder"
    rm "$folder"/prometheus_*.deb
    prometheus --version 2>&1 | head -n 1
}

database_versions() {
    postgres --version
    redis-server --version
    mariadbd --version
}

# The databases that tests start by themselves. They are not installed, for the same reason; what they need is.
unpack_databases() {
    local folder=$databases server client libraries
    if [ "$(command -v postgres initdb psql redis-server mariadbd mariadb-install-db | wc -l)" = 6 ]; then
        database_versions
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "please install what Debian has in: postgresql redis-server mariadb-server" >&2
        return 1
    fi
    rm -rf "$folder"
    mkdir -p "$folder/bin"
    apt-get update -qq
    # Its name has the version.
    server=$(apt-cache depends postgresql | awk '$1 == "Depends:" { print $2; exit }')
    client=${server/postgresql/postgresql-client}
    libraries=$(apt-cache depends "$server" "$client" redis-tools mariadb-server-core | awk '$1 == "Depends:" && $2 ~ /^(lib|tzdata)/ { print $2 }')
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $libraries
    (cd "$folder" && apt-get download -qq "$server" "$client" redis-server redis-tools mariadb-server-core \
        mariadb-client-core)
    for package in "$folder"/*.deb; do
        dpkg -x "$package" "$folder"
        rm "$package"
    done
    ln -s "$folder"/usr/lib/postgresql/*/bin/* "$folder"/usr/bin/redis-server "$folder"/usr/sbin/mariadbd \
        "$folder"/usr/bin/mariadb-install-db "$folder/bin"
    database_versions
}

rust() {
    local tool
    command -v cargo >/dev/null || { echo "there is no cargo: install Rust stable, with rustup" >&2; return 1; }
    for tool in fmt clippy; do
        cargo "$tool" --version || { echo "cargo $tool is missing: rustup component add rustfmt clippy" >&2; return 1; }
    done
    rustc --version
}

formatting() {
    cargo fmt --check --all
    cargo fmt --check --manifest-path ebpf/Cargo.toml
    cargo fmt --check --manifest-path fuzz/Cargo.toml
}

# One by one, as the tests have the tool build them: together, the libraries would have other features. A test that
# waits for its server need not wait for the compiler then.
examples() {
    local example
    for example in examples/*/; do
        cargo build --locked -p "$(basename "$example")"
    done
}

install_cargo_fuzz() {
    if cargo fuzz --version 2>/dev/null; then
        return
    fi
    cargo install --quiet cargo-fuzz --version 0.13.2 --locked --root "$tools"
}

# On stable Rust: the sanitizer's flags are all that would want a nightly one. The targets share the time.
fuzz() {
    local target
    for target in records http2 grpc tls; do
        mkdir -p "fuzz/corpus/$target"
        RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
            -max_total_time=$((${FUZZ_SECONDS:-60} / 4)) -print_final_stats=1
    done
}

main() {
    step "System packages" system_packages
    step "Prometheus" unpack_prometheus
    step "Databases" unpack_databases
    step "Rust" rust
    step "Formatting" formatting
    step "The committed BPF objects match their sources" ebpf/build.sh --check
    step "Clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
    step "Documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked -p cargo-beyla -p cargo-beyla-core --no-deps
    step "What this machine can trace" cargo run --locked -p cargo-beyla -- beyla doctor
    step "Unit tests" cargo test --locked --no-fail-fast -p cargo-beyla -p cargo-beyla-core -p cargo-beyla-events
    step "Examples" examples
    # What a shell starts in the background has ^C ignored, and what nohup starts the end of a terminal; so has all that
    # these start.
    step "End-to-end tests" env --default-signal=HUP,INT,QUIT cargo test --locked --no-fail-fast -p beyla-tests
    step "cargo-fuzz" install_cargo_fuzz
    step "Fuzzing for ${FUZZ_SECONDS:-60} s" fuzz
    printf '\nAll passed in %d s.\n' "$SECONDS"
}

# Read whole before it runs, so that the file may be edited meanwhile.
main
exit

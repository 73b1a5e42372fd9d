#!/usr/bin/env bash
# Runs end-to-end tests under other kernels: stock ones of Debian, in QEMU, with this machine's own files. The processor is
# emulated, which takes no KVM, and much time.
#
#   tests/kernels.sh                    all kernels, all tests
#   tests/kernels.sh --doctor           only whether each kernel takes all programs: a minute or two each
#   tests/kernels.sh 5.10 6.1           these kernels
#
# As root, on Debian on x86_64, where tests/run.sh has installed what the tests need. It ends with one line a kernel, and
# status 1 if anything failed. What a kernel's tests have put out stays in target/kernels/KERNEL/out.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
kernels=$target/kernels
export CARGO_INCREMENTAL=0
# Where tests/run.sh puts the databases.
export PATH="$PATH:/var/cache/cargo-beyla-tests/databases/bin"

# What a kernel may take in all, and one test, in seconds. The guest's clock is the slower one: see `guest_clock`.
KERNEL_SECONDS=${KERNEL_SECONDS:-1800}
TEST_SECONDS=${TEST_SECONDS:-300}
# How much slower the guest's clock is.
SLOWER=${SLOWER:-4}

# The Debian release that has each kernel.
declare -A releases=([5.10]=bullseye [6.1]=bookworm [6.12]=trixie)
# The modules that a guest needs before it has any files.
MODULES="virtio_pci 9pnet_virtio 9p overlay"

# The tests: the oldest kernel that has what each is about, its file, and its name.
TESTS="
5.8  basic              two_hundred_requests_are_two_hundred_rows
5.8  http2              h2load_counts_the_same
5.8  tls_keys           each_key_and_each_byte_of_a_connection_are_recorded
5.8  https              h2load_counts_the_same
5.8  calls              statements_are_those_of_the_log_of_postgres
5.8  calls              commands_are_those_that_redis_was_sent
5.8  client_connections calls_are_recorded_by_system_calls
5.8  transports         an_abstract_unix_socket
5.8  attach             by_port
5.8  explain_report     the_means_of_a_route_are_those_of_its_requests
5.15 explain_findings   who_waits_for_a_lock_is_found_with_the_line
5.15 suite              findings_name_their_tests
"

# The machine's own mirrors, as its apt sources name them.
mirror() { # SUFFIX FALLBACK
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+' | sed 's#/$##' |
        grep -E "$1\$" | head -n 1) || true
    echo "${found:-$2}"
}

# apt PROGRAM...: with lists of its own, so that the machine's stay as they are.
apt() {
    local program=$1
    shift
    "$program" -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::Etc::SourceList=$apt/sources.list" \
        -o Dir::Etc::SourceParts=- -o "Dir::State::status=$apt/status" -o APT::Sandbox::User=root "$@"
}

# Leaves a kernel, its modules and its first file system in a folder.
fetch() { # KERNEL
    local folder=$kernels/$1 release=${releases[$1]} apt=$kernels/apt-$1 options package modules module file name
    [ -e "$folder/initrd" ] && return
    rm -rf "$folder" "$apt"
    mkdir -p "$folder/root"/{bin,dev,proc,sys,host,layer,new,modules} "$apt"/{lists/partial,cache/archives/partial}
    : >"$apt/status"
    options="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=amd64]"
    {
        echo "deb $options $(mirror /debian http://deb.debian.org/debian) $release main"
        echo "deb $options $(mirror /debian-security http://deb.debian.org/debian-security) $release-security main"
    } >"$apt/sources.list"
    apt apt-get -qq update
    package=$(apt apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
    (cd "$apt" && apt apt-get -qq download "$package")
    dpkg -x "$apt"/linux-image-*.deb "$folder/unpacked"
    rm -rf "$apt"
    release=${package#linux-image-}
    mv "$folder/unpacked/boot/vmlinuz-$release" "$folder/bzImage"
    [ -e "$folder/unpacked/lib" ] || ln -s usr/lib "$folder/unpacked/lib"
    depmod -b "$folder/unpacked" "$release"
    for module in $MODULES; do
        modules=$(modprobe -d "$folder/unpacked" -S "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }')
        # What the kernel has built in has no file.
        for file in $modules; do
            name=$(basename "${file%.xz}")
            [ -e "$folder/root/modules/$name" ] && continue
            case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$folder/root/modules/$name"
            echo "$name" >>"$folder/root/modules/order"
        done
    done
    cp /bin/busybox "$folder/root/bin/busybox"
    ln -s busybox "$folder/root/bin/sh"
    install -m 755 tests/kernels/init "$folder/root/init"
    (cd "$folder/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$folder/initrd.new"
    rm -rf "$folder/root"
    mv "$folder/initrd.new" "$folder/initrd"
}

programs() {
    local entry packages=()
    for entry in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod xz:xz-utils; do
        command -v "${entry%%:*}" >/dev/null || packages+=("${entry#*:}")
    done
    [ ${#packages[@]} = 0 ] && return
    echo "installing: ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
}

# The guest has cargo, and nothing to build: whatever a test would build is built here, as it would be.
build() {
    local file names=() pair
    for file in $(awk 'NF { print $2 }' <<<"$TESTS" | sort -u); do names+=(--test "$file"); done
    cargo test --locked --no-run -p beyla-tests "${names[@]}" 2>"$kernels/executables" || {
        cat "$kernels/executables" >&2
        return 1
    }
    cargo build --locked -p cargo-beyla --bin cargo-beyla
    for pair in basic:server latency_lab:latency_lab tls:https_server orders:orders orders:prices \
        beyla-tests:http2_server beyla-tests:tls_server beyla-tests:calling_server beyla-tests:odd_server; do
        cargo build --locked -p "${pair%:*}" --bin "${pair#*:}"
    done
    cargo test --locked --no-run -p bookshop
}

# Whether one version is no later than another.
is_up_to() { printf '%s\n%s\n' "$1" "$2" | sort -V -C; }

# What a guest runs: each test's executable, file and name.
plan() { # KERNEL
    local since file name executable
    while read -r since file name; do
        [ -n "$since" ] && is_up_to "$since" "$1" || continue
        executable=$(sed -n "s#.*Executable tests/$file.rs (\(.*\))#\1#p" "$kernels/executables")
        echo "$(realpath "$executable") $file $name"
    done <<<"$TESTS"
}

# The guest's clock is the processor's count of cycles, and what it takes for their rate is what it is told. Told a rate
# that is too high, it counts a second where several pass, and the emulated processor seems no slower than a real one.
guest_clock() { awk -v slower="$SLOWER" '/^cpu MHz/ { print int($4 * 1000 * slower); exit }' /proc/cpuinfo; }

boot() { # KERNEL
    local folder=$kernels/$1 out=$kernels/$1/out
    timeout "$KERNEL_SECONDS" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
        -machine q35 -accel tcg,thread=multi,tb-size=512 -smp 2 -m 3G \
        -cpu "qemu64,svm=off,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf-lm,+rdrand,+aes,+pclmulqdq,+sha-ni" \
        -kernel "$folder/bzImage" -initrd "$folder/initrd" \
        -append "console=ttyS0 loglevel=5 panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable \
            tsc_early_khz=$(guest_clock) random.trust_cpu=on audit=0 apparmor=0 nowatchdog raid=noautodetect \
            guest=$root/tests/kernels/guest.sh out=$out" \
        -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap" \
        -device virtio-9p-pci,fsdev=host,mount_tag=host \
        -fsdev "local,id=out,path=$out,security_model=passthrough,multidevs=remap" \
        -device virtio-9p-pci,fsdev=out,mount_tag=out \
        -serial "file:$out/console" </dev/null
}

# Boots a kernel, has it run the tests, and prints its line; fails if anything did.
run() { # KERNEL
    local out=$kernels/$1/out start=$SECONDS failed passed
    rm -rf "$out"
    mkdir -p "$out"
    : >"$out/results"
    : >"$out/plan"
    [ -n "$doctor_alone" ] || plan "$1" >"$out/plan"
    {
        printf 'export HOME=%q PATH=%q\n' "$HOME" "$PATH"
        printf 'tests=%q tool=%q test_seconds=%q\n' "$root/tests" "$target/debug/cargo-beyla" "$TEST_SECONDS"
        printf 'modules=%q\n' "$kernels/$1/unpacked/lib/modules"
    } >"$out/environment"
    boot "$1" 2>"$out/qemu" || true
    sed 's/^/    /' "$out/results"
    failed=$(awk '$1 != "passed" { print $2 }' "$out/results")
    passed=$(grep -c '^passed' "$out/results" || true)
    [ -e "$out/ended" ] || failed="$failed (it did not come to its end)"
    printf '%-6s %-26s %2d passed in %4d s%s\n' "$1" "$(cat "$out/release" 2>/dev/null || echo "did not boot")" \
        "$passed" $((SECONDS - start)) "${failed:+, FAILED: $(echo $failed)}" | tee -a "$kernels/table"
    [ -z "$failed" ]
}

main() {
    local kernel status=0 chosen=()
    doctor_alone=
    for kernel in "$@"; do
        case $kernel in
        --doctor) doctor_alone=1 ;;
        *)
            [ -n "${releases[$kernel]-}" ] || { echo "there is no $kernel, but ${!releases[*]}" >&2; exit 2; }
            chosen+=("$kernel")
            ;;
        esac
    done
    [ "$(id -u)" = 0 ] || { echo "this takes root" >&2; exit 2; }
    [ ${#chosen[@]} != 0 ] || chosen=(5.10 6.1 6.12)
    mkdir -p "$kernels"
    : >"$kernels/table"
    programs
    if [ -n "$doctor_alone" ]; then cargo build --locked -p cargo-beyla --bin cargo-beyla; else build; fi
    for kernel in "${chosen[@]}"; do
        fetch "$kernel"
        echo "==> Linux $kernel"
        run "$kernel" || status=1
    done
    echo
    cat "$kernels/table"
    return $status
}

# Read whole before it runs, so that the file may be edited meanwhile.
main "$@"
exit

# The first process of a guest once it has the host's files: runs the tests of $1/plan, one a line: executable, file
# and name. Writes into the folder $1 what comes of them.
out=$1
# Whatever happens, the machine is switched off in the end.
trap 'sync; /bin/busybox poweroff -f' EXIT
# shellcheck disable=SC1091
. "$out/environment"
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
mkdir -p /usr/lib/modules
ln -s "$modules/$(uname -r)" "/usr/lib/modules/$(uname -r)"
/bin/busybox ip link set lo up
ulimit -n 65536
uname -r >"$out/release"
cd "$tests" || exit

# one NAME SAYS COMMAND...: a line of the results. A command must say something too: a name that no test has would pass.
one() {
    local name=$1 says=$2 start=$SECONDS result=passed
    shift 2
    timeout "$test_seconds" "$@" >"$out/$name.log" 2>&1 </dev/null || result=FAILED
    grep -q "$says" "$out/$name.log" || result=FAILED
    echo "$result $name $((SECONDS - start))" >>"$out/results"
}

one doctor "This machine can trace" "$tool" beyla doctor
while read -r executable file name; do
    one "$file::$name" "test result: ok. 1 passed" "$executable" --exact "$name"
done <"$out/plan"
dmesg >"$out/dmesg"
echo >"$out/ended"

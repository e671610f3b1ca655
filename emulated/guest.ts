/**
 * What happens in the guest: the first process, and what it's told.
 *
 * @module
 */

import { type CpioEntry, packCpio } from "./cpio.ts";

/** Where the guest has its media, as a command finds them in its environment. */
export const places = {
  PMEM_DIR: "/mnt/pmem",
  PMEM_DISK_DIR: "/mnt/disk",
  PMEM_FAILING_DIR: "/mnt/failing",
} as const;

/** Where a checker finds what was acknowledged. */
export const acknowledgedPath = "/run/emulated/acknowledged";

/** Something to run in the guest. */
export interface Job {
  /** The port that gets what it prints on standard output. */
  stdout: "stdout" | "acknowledged";
  command: string[];
  directory: string;
  environment: Map<string, string>;
}

export interface Task {
  /** Run one after the other. */
  jobs: Job[];
  /** Folders that were brought along. */
  folders: string[];
  /** Paths to bring back. */
  out: string[];
  failingDisk: boolean;
  /** The home directory, and npm's settings in it. */
  home: string;
  npmrc: string;
  /** What was acknowledged before the power was cut. */
  acknowledged?: Uint8Array;
}

/** The second part of the first root file system: what this boot is for. */
export function packTask(task: Task): Uint8Array<ArrayBuffer> {
  const { jobs, folders, out, failingDisk, home, npmrc, acknowledged } = task;
  const entries: CpioEntry[] = [
    { name: "init", mode: 0o755, content: init },
    { name: "job", mode: 0o755 },
    {
      name: "job/settings",
      mode: 0o644,
      content: [
        `jobs=${quote(jobs.map((_, index) => index + 1).join(" "))}`,
        ...jobs.map(({ stdout }, index) => `stdout_${index + 1}=${stdout}`),
        `failing=${failingDisk ? "yes" : ""}`,
        `home=${quote(home)}`,
        "folders_in_tmp() {",
        ...folders.filter((path) => path.startsWith("/tmp/")).map((path) =>
          `  keep_in_tmp ${quote(path)}`
        ),
        "  :",
        "}",
        `set -- ${out.map(quote).join(" ")}`,
        "",
      ].join("\n"),
    },
    ...jobs.map((job, index) => ({
      name: `job/${index + 1}`,
      mode: 0o644,
      content: jobScript(job),
    })),
    { name: "job/npmrc", mode: 0o644, content: npmrc },
    {
      name: "job/acknowledged",
      mode: 0o644,
      content: acknowledged ?? "",
    },
  ];
  return packCpio(entries);
}

function jobScript({ command, directory, environment }: Job): string {
  const lines = [". /run/emulated/media"];
  for (const [name, value] of environment) {
    lines.push(`export ${name}=${quote(value)}`);
  }
  lines.push(`cd ${quote(directory)} || exit 125`);
  lines.push(`exec ${command.map(quote).join(" ")}`, "");
  return lines.join("\n");
}

/** The text as one word for a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * The first process. It tells on the port "control" how far it is:
 * "booted", "start N", "exit N STATUS", "missing PATH", "error TEXT", "done".
 */
const init = `\
#!/bin/busybox sh
# Without /proc the shell doesn't find its own commands.
/bin/busybox mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done

# find_port NAME: its device, in $port. Opened twice at a time it would be busy.
find_port() {
  while :; do
    for entry in /sys/class/virtio-ports/*; do
      read -r name 2>/dev/null <$entry/name
      port=/dev/\${entry##*/}
      [ "$name" = $1 ] && [ -c $port ] && return
    done
    sleep 0.02
  done
}
find_port control
exec 3>$port
echo booted >&3
fail() {
  echo "error $*" >&3
  poweroff -f
  sleep 60
}

. /job/settings

# The images and disks: each a variable of the name that its serial number is.
for entry in /sys/block/vd*; do
  read -r serial <$entry/serial
  eval "disk_$serial=/dev/\${entry##*/}"
done
mount -t squashfs -o ro $disk_system /images/system &&
  mount -t squashfs -o ro $disk_project /images/project &&
  mount -t tmpfs tmpfs /images/layer &&
  mkdir /images/layer/upper /images/layer/work &&
  mount -t overlay -o lowerdir=/images/project:/images/system,upperdir=/images/layer/upper,workdir=/images/layer/work overlay /root ||
  fail "Cannot mount the images"

mkdir /images/tmp
mount -o bind /root/tmp /images/tmp
mount -t tmpfs tmpfs /root/tmp
keep_in_tmp() {
  if [ -d "/images$1" ]; then
    mkdir -p "/root$1"
  else
    mkdir -p "/root\${1%/*}"
    touch "/root$1"
  fi
  mount -o bind "/images$1" "/root$1"
}
folders_in_tmp
mount -o bind /proc /root/proc
mount -o bind /sys /root/sys
mount -o bind /dev /root/dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/run
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
chroot /root /usr/bin/busybox --install -s 2>/dev/null
ip link set lo up
hostname emulated
# A page reaches a disk when somebody asks for it, not because time passes: so a
# missing msync shows.
echo 0 >/proc/sys/vm/dirty_writeback_centisecs

# The kernel makes the one of what the info block calls fsdax, and the other of
# what it calls devdax.
tries=0
until [ -b /dev/pmem[0-9] ] && [ -c /dev/dax[0-9].0 ]; do
  tries=$((tries + 1))
  [ $tries -lt 500 ] || fail "The kernel has not found the persistent memory"
  sleep 0.02
done
pmem=$(echo /dev/pmem[0-9])
devdax=$(echo /dev/dax[0-9].0)
mount -t ext4 -o dax=always $pmem /root${places.PMEM_DIR} ||
  fail "Cannot mount $pmem with DAX"
mount -t ext4 $disk_disk /root${places.PMEM_DISK_DIR} ||
  fail "Cannot mount the disk"
mkdir /root/run/emulated
cat >/root/run/emulated/media <<END
export PMEM_DIR=${places.PMEM_DIR} PMEM_DISK_DIR=${places.PMEM_DISK_DIR}
export PMEM_DEVICE=$pmem PMEM_DEVDAX=$devdax
END
if [ $failing ]; then
  mount -t ext4 $disk_failing /root${places.PMEM_FAILING_DIR} ||
    fail "Cannot mount the failing disk"
  echo "export PMEM_FAILING_DIR=${places.PMEM_FAILING_DIR}" >>/root/run/emulated/media
fi
cp /job/* /root/run/emulated
mkdir -p "/root$home"
cp /job/npmrc "/root$home/.npmrc"

mkfifo /stdout /stderr
find_port stderr
stderr_port=$port
for job in $jobs; do
  eval "find_port \\$stdout_$job"
  # Through pipes, so that a command can open /dev/stdout as it may elsewhere.
  cat </stdout >$port &
  first=$!
  cat </stderr >$stderr_port &
  second=$!
  echo "start $job" >&3
  chroot /root /usr/bin/busybox sh /run/emulated/$job </dev/null >/stdout 2>/stderr 3>&-
  status=$?
  # What the command has left running may hold the pipes.
  (sleep 10; kill $first $second) &
  wait $first $second
  echo "exit $job $status" >&3
done

number=$#
while [ $number -gt 0 ]; do
  number=$((number - 1))
  if [ -e "/root$1" ]; then set -- "$@" "\${1#/}"; else echo "missing $1" >&3; fi
  shift
done
if [ $# -gt 0 ]; then
  find_port out
  tar -c -f - -C /root "$@" >$port || echo "error Cannot pack what is to be brought back" >&3
fi
echo "done" >&3
sleep 60
poweroff -f
`;

#!/usr/bin/busybox sh
# The first process of the emulated machine. What the kernel doesn't know of
# its command line arrives in the environment:
#   JOB        the script in tests/emulated/guest to run
#   FORMAT     "yes": make the namespaces and the file systems first
#   DEADLINE   seconds after which the machine turns itself off
# The first serial port is the console, the second carries the job's output.

export PATH=/usr/bin:/usr/sbin HOME=/root LC_ALL=C
export DENO_DIR=/deno_dir DENO_NO_UPDATE_CHECK=1 NO_COLOR=1

/usr/bin/busybox mount -t proc proc /proc
/usr/bin/busybox --install -s
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
ip link set lo up
. /environment

# Should the host die, the machine must not stay behind.
(sleep "$DEADLINE" && poweroff -f) &

# busybox has an applet of the same name.
for module in crc32c_generic ext4 nfit nd_pmem dax_pmem device_dax \
  virtio_pci virtio_blk; do
  /usr/sbin/modprobe -q $module
done

stop() {
  echo "$*"
  sync
  poweroff -f
}

# The kernel numbers the regions as it likes: the larger one is for fsdax.
bus=/sys/bus/nd/devices
if [ "$(cat $bus/region0/size)" -gt "$(cat $bus/region1/size)" ]; then
  fsdax=0 devdax=1
else
  fsdax=1 devdax=0
fi
export PMEM=/dev/pmem$fsdax DEVDAX=/dev/dax$devdax.0 DISK=/dev/vda

if [ "$FORMAT" = yes ]; then
  ndctl create-namespace -f -e namespace$fsdax.0 -m fsdax &&
    ndctl create-namespace -f -e namespace$devdax.0 -m devdax &&
    /usr/sbin/mkfs.ext4 -q -b 4096 $PMEM &&
    /usr/sbin/mkfs.ext4 -q -b 4096 $DISK ||
    stop "Cannot format the media"
fi
mount -t ext4 -o dax=always $PMEM /mnt/fsdax &&
  mount -t ext4 $DISK /mnt/ext4 &&
  [ -c $DEVDAX ] ||
  stop "Cannot mount the media"

cd /project || stop "Cannot find the project"
stty -F /dev/ttyS1 raw -echo
echo "Running $JOB"
sh "tests/emulated/guest/$JOB.sh" </dev/null >/dev/ttyS1 2>&1
stop "Done with $JOB"

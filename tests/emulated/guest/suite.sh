# Runs tests with their scratch files on one medium. From the kernel's command
# line:
#   MEDIUM        fsdax or ext4
#   GRANULARITY   what persistent memory gives on this machine
#   TESTS         files and folders, separated by commas

export PMEM2_TEST_DIR="/mnt/$MEDIUM/scratch"
mkdir -p "$PMEM2_TEST_DIR"

ignored=
if [ "$MEDIUM" = fsdax ]; then
  export PMEM2_TEST_FSDAX=/mnt/fsdax PMEM2_TEST_EXT4=/mnt/ext4
  export PMEM2_TEST_PMEM="$PMEM" PMEM2_TEST_DEVDAX="$DEVDAX"
  export PMEM2_TEST_GRANULARITY="$GRANULARITY"
else
  ignored=tests/emulated
fi

# The host has checked the types, and this machine is slow at it.
deno test --allow-all --no-check --cached-only ${ignored:+--ignore=$ignored} \
  $(echo "$TESTS" | tr , ' ')
echo "exit status $?"
dmesg | grep -iE 'segfault|killed process|I/O error'

# Checks what the last round wrote, then writes until the power is cut. From
# the kernel's command line:
#   WRITERS   as in "fsdax:persist,ext4:forget"; see power_cut.ts
#   ROUND     the number of this round; 1 makes the files
#   LAST      "yes": check only

case $FORMAT in
yes)
  for folder in /mnt/fsdax /mnt/ext4; do
    fallocate -l 33554432 $folder/log
  done
  sync
  ;;
esac

for writer in $(echo "$WRITERS" | tr , ' '); do
  medium=${writer%:*}
  path=/mnt/$medium/log
  [ $medium = devdax ] && path=$DEVDAX
  deno run --allow-all --no-check --cached-only \
    tests/emulated/guest/power_cut.ts $medium $path ${writer#*:} $ROUND $LAST &
done
wait

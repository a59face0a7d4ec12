#!/usr/bin/env bash
# Includes run one way: base <- term, sched <- proc <- services <- otp. Prints,
# room by room, the includes that point up, and the headers that form a circle.
set -u
cd "${WEFT_SRCDIR:-$(dirname "$0")/..}" || exit 1

declare -A below=(
  [base]="base"
  [term]="base term"
  [sched]="base sched"
  [proc]="base term sched proc"
  [services]="base term sched proc services"
  [otp]="base term sched proc services otp"
  [http]="base term sched proc services otp http"
)
rooms=(base term sched proc services otp http)
number=0 failed=0

# result NAME PROBLEMS: one TAP line; the problems are printed as diagnostics.
result() {
  number=$((number + 1))
  if [ -z "$2" ]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    printf '%s\n' "$2" | sed 's/^/# /' >&2
    failed=1
  fi
}

# quoted FILE...: every #include "x" of the files, as `file line x`.
quoted() {
  awk '/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, part, "\""); print FILENAME, FNR, part[2] }' "$@"
}

# ups ROOM: includes of the room that reach above it or name no room.
ups() {
  local files file line name head
  mapfile -t files < <(find "runtime/$1" -type f -name '*.[chS]' 2>/dev/null | sort)
  [ ${#files[@]} -gt 0 ] || return 0
  quoted "${files[@]}" | while read -r file line name; do
    head=${name%%/*}
    [ "$name" = weft.h ] || [ "$head" = weft ] || [[ " ${below[$1]} " == *" $head "* ]] \
      || echo "$file:$line: \"$name\": $1 may include ${below[$1]// /, } and weft/"
  done
}

# edges: `header header` for every include of a header by a header.
edges() {
  local headers
  mapfile -t headers < <(find runtime include -type f -name '*.h' | sort)
  awk '/^[ \t]*#[ \t]*include[ \t]*["<]/ {
         file = FILENAME; sub(/^(runtime|include)\//, "", file)
         split($0, part, /["<>]/); print file, part[2] }' "${headers[@]}"
}

echo "1..$((${#rooms[@]} + 3))"
for room in "${rooms[@]}"; do
  result "runtime/$room includes only ${below[$room]// /, }" "$(ups "$room")"
done
result "public headers include none of the runtime's" \
  "$(find include -name '*.h' -exec awk '/^[ \t]*#[ \t]*include[ \t]*"/ && !/"weft\// && !/"weft\.h"/ {
       print FILENAME ":" FNR ": " $0 }' {} +)"
result "no header includes itself round a corner" "$(edges | tsort 2>&1 >/dev/null)"
result "every room is a known one" \
  "$(find runtime -mindepth 1 -maxdepth 1 -type d -printf '%f\n' |
     while read -r room; do [ -n "${below[$room]:-}" ] || echo "runtime/$room"; done)"
exit $failed

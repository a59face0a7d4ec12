#!/usr/bin/env bash
# Every public header compiles alone, without a warning, in each language that
# weft promises, with each compiler that is here; and it says of each call
# whether it may park.
set -u
cd "${WEFT_SRCDIR:-$(dirname "$0")/..}" || exit 1

mapfile -t headers < <(cd include && find . -name '*.h' -printf '%P\n' | sort)
flags=(-fsyntax-only -Wall -Wextra -Werror -Iinclude)
# The compilers may come with words of their own: CC="ccache gcc".
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"

# compile LANGUAGE STANDARD HEADER... -- COMPILER...: the headers in one unit.
compile() {
  local language=$1 standard=$2 unit=""
  shift 2
  while [ "$1" != -- ]; do unit+="#include <$1>"$'\n'; shift; done
  shift
  "$@" "${flags[@]}" "-std=$standard" -x "$language" - <<<"$unit" 2>&1
}

# each LANGUAGE STANDARD COMPILER...: one TAP line; each header alone, then all.
each() {
  local language=$1 standard=$2 name header said problems=""
  shift 2
  number=$((number + 1))
  name="every header compiles alone and with the others as $standard by $1"
  if ! compile "$language" "$standard" stddef.h -- "$@" >/dev/null; then
    echo "ok $number - $name # SKIP no such compiler or standard here"
    return
  fi
  for header in "${headers[@]}"; do
    said=$(compile "$language" "$standard" "$header" -- "$@") || problems+="$header alone: $said"$'\n'
  done
  said=$(compile "$language" "$standard" "${headers[@]}" -- "$@") || problems+="all together: $said"$'\n'
  if [ -z "$problems" ]; then
    echo "ok $number - $name"
  else
    echo "not ok $number - $name"
    sed 's/^/# /' <<<"$problems" >&2
    failed=1
  fi
}

# silent HEADER...: the calls of which nobody says whether they park: not their
# own comment, nor the one that opens their section, nor, for all of a header
# ("Where:   every ..."), the first.
silent() {
  awk '
    function tells(text) { return tolower(text) ~ /may park|never switch|never returns|blocks it|which it blocks/ }
    FNR == 1 { head = section = 0; own = ""; n_comments = 0; open = 0 }
    /^\/\*/ { text = ""; open = 1 }
    open { line = $0; sub(/^ \* ?/, "", line); text = text " " line }
    open && /\*\// {
      open = 0
      if (++n_comments == 1) head = text ~ /Where: +every/ && tells(text)
      else if (text ~ /^ \/\* --/) section = tells(text)
      else own = text
    }
    /^(WEFT__NORETURN )?WEFT_API/ && match($0, /weft_[a-z0-9_]+\(/) {
      name = substr($0, RSTART, RLENGTH - 1)
      if (name !~ /^weft__/ && !head && !section && !tells(own)) print FILENAME ": " name
    }' "$@"
}

number=0 failed=0
c=("${cc[*]}") cpp=("${cxx[*]}")
[ "${cc[0]}" = clang ] || c+=(clang)
[ "${cxx[0]}" = clang++ ] || cpp+=(clang++)

echo "1..$((${#c[@]} * 4 + ${#cpp[@]} + 1))"
for compiler in "${c[@]}"; do
  for standard in c11 gnu11 c17 gnu2x; do
    # shellcheck disable=SC2086 # a compiler may be several words
    each c "$standard" $compiler
  done
done
for compiler in "${cpp[@]}"; do
  # shellcheck disable=SC2086
  each c++ c++20 $compiler
done

number=$((number + 1))
name="every public call says that it may park or that it never switches"
problems=$(silent "${headers[@]/#/include/}")
if [ -z "$problems" ]; then
  echo "ok $number - $name"
else
  echo "not ok $number - $name"
  sed 's/^/# /' <<<"$problems" >&2
  failed=1
fi
exit $failed

# WEFT_APPEND_FLAGS(VARIABLE, FLAGS)
# Append to VARIABLE each of FLAGS that the compiler takes without a word.
AC_DEFUN([WEFT_APPEND_FLAGS], [
for weft_flag in m4_normalize([$2]); do
  AC_MSG_CHECKING([whether $CC takes $weft_flag])
  weft_saved_CFLAGS=$CFLAGS
  CFLAGS="-Werror $CFLAGS $weft_flag"
  AC_LINK_IFELSE([AC_LANG_PROGRAM],
    [AC_MSG_RESULT([yes])
     AS_VAR_APPEND([$1], [" $weft_flag"])],
    [AC_MSG_RESULT([no])])
  CFLAGS=$weft_saved_CFLAGS
done])

# WEFT_NEED(PREFIX, MODULE, DEBIAN-PACKAGE)
# A library that weft cannot do without, found by pkg-config.
AC_DEFUN([WEFT_NEED], [
PKG_CHECK_MODULES([$1], [$2], [],
  [AC_MSG_ERROR([weft needs the library $2; on Debian: apt-get install $3])])])

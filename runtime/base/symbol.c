#include "base/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The function around an address, as far as it was found. */
struct symbol {
    char name[256];
    uintptr_t offset; /* of the address, from the function's begin */
};

/* An object's file, mapped to read. */
struct image {
    const uint8_t *at;
    size_t size;
};

/* -- the object's file ------------------------------------------------------------ */

static bool image_open(struct image *image, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    void *at = MAP_FAILED;

    if (fd < 0)
        return false;
    if (fstat(fd, &stat) == 0 && stat.st_size > (off_t)sizeof(ElfW(Ehdr)))
        at = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return false;
    image->at = at;
    image->size = (size_t)stat.st_size;
    return true;
}

static void image_close(struct image *image)
{
    munmap((void *)(uintptr_t)image->at, image->size);
}

/* n bytes at an offset of the file, 8-aligned as tables are, or NULL: the file
 * is not trusted to be whole. */
static const void *image_part(const struct image *image, uint64_t offset, uint64_t n)
{
    if (offset > image->size || n > image->size - offset || offset % 8 != 0)
        return NULL;
    return image->at + offset;
}

static const ElfW(Shdr) *image_sections(const struct image *image, size_t *n)
{
    const ElfW(Ehdr) *header = (const void *)image->at;

    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_shentsize != sizeof(ElfW(Shdr)))
        return NULL;
    *n = header->e_shnum;
    return image_part(image, header->e_shoff, (uint64_t)header->e_shnum * sizeof(ElfW(Shdr)));
}

/* Where the object's addresses begin, as the file counts them: 0 but for a
 * program that is not position independent. */
static uintptr_t image_base(const struct image *image)
{
    const ElfW(Ehdr) *header = (const void *)image->at;
    const ElfW(Phdr) *segment =
        image_part(image, header->e_phoff, (uint64_t)header->e_phnum * sizeof(ElfW(Phdr)));

    for (size_t i = 0; segment != NULL && i < header->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD) /* the lowest comes first */
            return segment[i].p_vaddr & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    return 0;
}

/* A string of a section of strings; NULL when it does not end inside. */
static const char *image_string(const struct image *image, const ElfW(Shdr) *strings, uint64_t at)
{
    if (strings->sh_offset > image->size || strings->sh_size > image->size - strings->sh_offset ||
        at >= strings->sh_size)
        return NULL;
    if (memchr(image->at + strings->sh_offset + at, '\0', strings->sh_size - at) == NULL)
        return NULL;
    return (const char *)image->at + strings->sh_offset + at;
}

/* Look for the function around `address`, counted as the file does. */
static bool image_find(const struct image *image, uintptr_t address, struct symbol *found)
{
    size_t n_sections = 0;
    const ElfW(Shdr) *sections = image_sections(image, &n_sections);

    for (size_t i = 0; sections != NULL && i < n_sections; i++) {
        const ElfW(Sym) *symbol;

        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= n_sections)
            continue;
        symbol = image_part(image, sections[i].sh_offset, sections[i].sh_size);
        for (size_t k = 0; symbol != NULL && k < sections[i].sh_size / sizeof *symbol; k++) {
            const char *name;

            if ((symbol[k].st_info & 15) != STT_FUNC || symbol[k].st_shndx == SHN_UNDEF ||
                address - symbol[k].st_value >= symbol[k].st_size)
                continue;
            name = image_string(image, &sections[sections[i].sh_link], symbol[k].st_name);
            if (name == NULL || name[0] == '\0')
                continue;
            snprintf(found->name, sizeof found->name, "%s", name);
            found->offset = address - symbol[k].st_value;
            return true;
        }
    }
    return false;
}

/* -- all together --------------------------------------------------------------------- */

/* The program's own name may be relative to where it was started, or be
 * somebody else's by now; the kernel's link to it is neither. */
static const char *file_of(const Dl_info *object)
{
    bool is_program = getauxval(AT_PHDR) - (uintptr_t)object->dli_fbase < sizeof(ElfW(Ehdr)) + 1;

    return is_program ? "/proc/self/exe" : object->dli_fname;
}

static bool find_in_file(const Dl_info *object, uintptr_t address, struct symbol *found)
{
    struct image image;
    bool is_found;

    if (!image_open(&image, file_of(object)))
        return false;
    is_found = image_find(&image, address - (uintptr_t)object->dli_fbase + image_base(&image), found);
    image_close(&image);
    return is_found;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static size_t finish(size_t size, int n)
{
    if (n < 0 || size == 0)
        return 0;
    return (size_t)n < size ? (size_t)n : size - 1;
}

size_t weft__symbol_name(char *buffer, size_t size, const void *address)
{
    uintptr_t at = (uintptr_t)address;
    struct symbol symbol;
    Dl_info object;

    if (address == NULL)
        return finish(size, snprintf(buffer, size, "NULL"));
    if (dladdr(address, &object) == 0 || object.dli_fname == NULL)
        return finish(size, snprintf(buffer, size, "0x%jx", (uintmax_t)at));
    if (object.dli_sname != NULL && object.dli_saddr == address)
        return finish(size, snprintf(buffer, size, "%s", object.dli_sname));
    if (!find_in_file(&object, at, &symbol)) {
        if (object.dli_sname == NULL)
            return finish(size, snprintf(buffer, size, "%s+0x%jx", base_name(object.dli_fname),
                                         (uintmax_t)(at - (uintptr_t)object.dli_fbase)));
        snprintf(symbol.name, sizeof symbol.name, "%s", object.dli_sname);
        symbol.offset = at - (uintptr_t)object.dli_saddr;
    }
    if (symbol.offset == 0)
        return finish(size, snprintf(buffer, size, "%s", symbol.name));
    return finish(size, snprintf(buffer, size, "%s+0x%jx", symbol.name, (uintmax_t)symbol.offset));
}

size_t weft__symbol_stack(char *buffer, size_t size, const void *const *frames, size_t n_frames)
{
    size_t at = finish(size, snprintf(buffer, size, "%s", ""));

    for (size_t i = 0; i < n_frames && at + 8 < size; i++) {
        if (i > 0)
            at += finish(size - at, snprintf(buffer + at, size - at, " < "));
        at += weft__symbol_name(buffer + at, size - at, frames[i]);
    }
    return at;
}

/* -- objects in memory --------------------------------------------------------------------- */

/* Not there before glibc 2.35. */
extern int _dl_find_object(void *address, struct dl_find_object *result) __attribute__((weak));

static bool find_object(const void *address, struct dl_find_object *object)
{
    return address != NULL && _dl_find_object != NULL &&
           _dl_find_object((void *)(uintptr_t)address, object) == 0;
}

/* The program headers of an object that is mapped from its file's begin; NULL: it is not. */
static const ElfW(Phdr) *segments_of(const struct dl_find_object *object, size_t *n)
{
    const ElfW(Ehdr) *header = object->dlfo_map_start;

    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phentsize != sizeof(ElfW(Phdr)))
        return NULL;
    *n = header->e_phnum;
    return (const void *)((const char *)header + header->e_phoff);
}

bool weft__symbol_is_code(const void *address)
{
    struct dl_find_object object;
    const ElfW(Phdr) *segments;
    size_t n = 0;

    if (!find_object(address, &object) || (segments = segments_of(&object, &n)) == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        uintptr_t at = object.dlfo_link_map->l_addr + segments[i].p_vaddr;

        if (segments[i].p_type == PT_LOAD && (uintptr_t)address - at < segments[i].p_memsz)
            return (segments[i].p_flags & PF_X) != 0;
    }
    return false;
}

/* The build id among the notes at `at`: its bytes, or NULL. */
static const uint8_t *find_build_id(const char *at, size_t size, size_t *n)
{
    const char *end = at + size;

    while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *name = at + sizeof *note;
        const char *bytes = name + ((note->n_namesz + 3) & ~3u);

        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            *n = note->n_descsz;
            return (const uint8_t *)bytes;
        }
        at = bytes + ((note->n_descsz + 3) & ~3u);
    }
    return NULL;
}

size_t weft__symbol_build_id(char *buffer, size_t size, const void *address, const void **base)
{
    static const char digits[] = "0123456789abcdef";
    struct dl_find_object object;
    const ElfW(Phdr) *segments;
    const uint8_t *id = NULL;
    size_t n = 0, n_segments = 0, length = 0;

    if (!find_object(address, &object))
        return 0;
    *base = object.dlfo_map_start;
    segments = segments_of(&object, &n_segments);
    for (size_t i = 0; segments != NULL && i < n_segments && id == NULL; i++)
        if (segments[i].p_type == PT_NOTE)
            id = find_build_id((const char *)object.dlfo_link_map->l_addr + segments[i].p_vaddr,
                               segments[i].p_memsz, &n);
    for (size_t i = 0; id != NULL && i < n && length + 2 < size; i++) {
        buffer[length++] = digits[id[i] >> 4];
        buffer[length++] = digits[id[i] & 15];
    }
    return length;
}

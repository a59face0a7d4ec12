/* file_test.c - plain files: weft/io.h. */
#include "proc/process_test.h"
#include "weft/io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/weft-file-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];

    if (directory[sizeof directory - 2] == 'X')
        check(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void clean_up(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    check_int(system(command), 0);
}

PROCESS_TEST(a_file_is_written_read_and_looked_at)
{
    char path[128], buffer[32] = "";
    weft_file_info info;
    int fd;

    strcpy(path, path_of("plain"));
    fd = weft_file_open(path, O_RDWR | O_CREAT, 0640);
    check_ge(fd, 0);
    check_term(weft_fd_owner(fd), weft_self());
    check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    check_int(weft_file_write(fd, "hello world", 11), 11);
    check_int(weft_file_pwrite(fd, "W", 1, 6), 1);
    check_int(weft_file_sync(fd), 0);
    check_int(weft_file_pread(fd, buffer, 5, 6), 5);
    check_str(buffer, "World");
    check_int(weft_file_pread(fd, buffer, sizeof buffer, 6), 5);
    check_int(weft_file_pread(fd, buffer, sizeof buffer, 100), 0);
    check_int(weft_file_read(fd, buffer, sizeof buffer), 0); /* at its position: the end */
    check_int(lseek(fd, 0, SEEK_SET), 0);
    check_int(weft_file_read(fd, buffer, sizeof buffer), 11);
    check_mem(buffer, "hello World", 11);
    check_int(weft_file_stat(path, &info), 0);
    check_int(info.size, 11);
    check_int(info.kind, WEFT_FILE_PLAIN);
    check_int(info.mode & 0600, 0600);
    check_near((double)info.modified_ns / 1e9, (double)time(NULL), 60);
    check_int(weft_close(fd), 0);
    check_int(weft_file_read(fd, buffer, 1), WEFT_EBADF);
    check_int(weft_file_write(fd, buffer, 1), WEFT_EBADF);
    check_int(weft_file_sync(fd), WEFT_EBADF);
    check_int(weft_file_pwrite(fd, "x", 1, -1), WEFT_EINVAL);
    clean_up();
}

PROCESS_TEST(what_is_not_there_is_a_code)
{
    weft_file_info info;
    weft_term content = A(untouched);

    check_int(weft_file_open("/no/such/file", O_RDONLY, 0), WEFT_ENOENT);
    check_int(weft_file_stat("/no/such/file", &info), WEFT_ENOENT);
    check_int(weft_file_read_all("/no/such/file", 0, &content), WEFT_ENOENT);
    check_int(weft_file_write_all("/no/such/file", "x", 1, 0), WEFT_ENOENT);
    check_int(weft_file_open(NULL, O_RDONLY, 0), WEFT_EINVAL);
    check_int(weft_file_read_all("/tmp", 0, &content), -EISDIR);
    check_term(content, A(untouched));
    check_int(weft_file_stat("/tmp", &info), 0);
    check_int(info.kind, WEFT_FILE_DIRECTORY);
    check_int(weft_file_stat("/dev/null", &info), 0);
    check_int(info.kind, WEFT_FILE_OTHER);
}

PROCESS_TEST(whole_files_are_replaced_and_read)
{
    enum { LARGE = 300000 };
    char path[128];
    char *large = weft_alloc(LARGE);
    weft_term content = weft_none;
    struct stat about;

    strcpy(path, path_of("whole"));
    memset(large, 'z', LARGE);
    check_int(weft_file_write_all(path, "first", 5, 0600), 0);
    check_int(weft_file_read_all(path, 0, &content), 0);
    check_term(content, weft_str("first"));
    check_int(stat(path, &about), 0);
    check_int(about.st_mode & 0777, 0600);
    check_int(weft_file_write_all(path, large, LARGE, 0), 0);
    check_int(weft_file_read_all(path, LARGE, &content), 0);
    check_uint(weft_bin_size(content), LARGE);
    check_mem(weft_bin_data(content), large, LARGE);
    check_int(weft_file_read_all(path, LARGE - 1, &content), WEFT_ETOOLONG);
    check_int(weft_file_write_all(path, "", 0, 0), 0);
    check_int(weft_file_read_all(path, 0, &content), 0);
    check_uint(weft_bin_size(content), 0);
    clean_up();
}

PROCESS_TEST(a_file_that_does_not_say_its_size_is_read_whole)
{
    weft_term content = weft_none;

    check_int(weft_file_read_all("/proc/self/status", 0, &content), 0);
    check_has(weft_text(content), "Name:");
    check_int(weft_file_read_all("/proc/self/status", 10, &content), WEFT_ETOOLONG);
}

static weft_term opens_and_reads(weft_term path)
{
    for (;;) {
        WEFT_SCOPE;
        weft_term content;
        int fd = weft_file_open(weft_text(path), O_RDONLY, 0);

        weft_file_read_all(weft_text(path), 0, &content);
        (void)fd;
    }
    return A(ok);
}

static int count_open(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

PROCESS_TEST(a_process_killed_within_a_call_leaves_no_descriptor, "PROC-18")
{
    int n_before = count_open();

    for (int i = 0; i < 50; i++) {
        WEFT_SCOPE;
        weft_ref down;
        weft_pid pid = weft_spawn(opens_and_reads, weft_str("/proc/self/status"), .monitor = &down);

        for (int k = 0; k < i * 20; k++)
            weft_yield();
        weft_kill(pid);
        await_down(down);
    }
    check_int(count_open(), n_before);
}

TEST(files_work_without_a_runtime)
{
    char path[128], buffer[8] = "";
    weft_term content = weft_none;
    int fd;

    strcpy(path, path_of("outside"));
    check_int(weft_file_write_all(path, "data", 4, 0), 0);
    fd = weft_file_open(path, O_RDONLY, 0);
    check_ge(fd, 0);
    check_int(weft_file_read(fd, buffer, sizeof buffer), 4);
    check_str(buffer, "data");
    check_int(weft_file_read_all(path, 0, &content), 0);
    check_str(weft_text(content), "data");
    check_int(weft_close(fd), 0);
    clean_up();
}

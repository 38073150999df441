/* Lets what is linked here start on a glibc of 2.28, the one that libtorch needs, whatever is on the machine that builds: newer versions of functions that
 * glibc has had all along are taken at their old version. build.rs in this folder passes `--wrap=NAME` for each function below. x86-64 only. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* a function that is what it was, under the version that it had */
#define OLD(name, version)                                                                                        \
    __asm__(".text\n.globl __wrap_" #name "\n.hidden __wrap_" #name "\n.type __wrap_" #name ", @function\n"       \
            "__wrap_" #name ":\n\tjmp old_" #name "@PLT\n.size __wrap_" #name ", . - __wrap_" #name "\n"          \
            ".symver old_" #name ", " #name "@" version "\n");

/* mathematics: 2.29 and 2.35 dropped the error reports of SVID, which nobody here reads */
OLD(exp, "GLIBC_2.2.5")
OLD(exp2, "GLIBC_2.2.5")
OLD(log, "GLIBC_2.2.5")
OLD(log2, "GLIBC_2.2.5")
OLD(pow, "GLIBC_2.2.5")
OLD(hypot, "GLIBC_2.2.5")
OLD(hypotf, "GLIBC_2.2.5")

/* threads and loading: 2.34 moved them into libc.so */
OLD(dladdr, "GLIBC_2.2.5")
OLD(dlclose, "GLIBC_2.2.5")
OLD(dlerror, "GLIBC_2.2.5")
OLD(dlopen, "GLIBC_2.2.5")
OLD(dlsym, "GLIBC_2.2.5")
OLD(pthread_attr_getguardsize, "GLIBC_2.2.5")
OLD(pthread_attr_getstack, "GLIBC_2.2.5")
OLD(pthread_attr_setstacksize, "GLIBC_2.2.5")
OLD(pthread_create, "GLIBC_2.2.5")
OLD(pthread_detach, "GLIBC_2.2.5")
OLD(pthread_getattr_np, "GLIBC_2.2.5")
OLD(pthread_join, "GLIBC_2.2.5")
OLD(pthread_key_create, "GLIBC_2.2.5")
OLD(pthread_key_delete, "GLIBC_2.2.5")
OLD(pthread_setname_np, "GLIBC_2.12")
OLD(pthread_setspecific, "GLIBC_2.2.5")
OLD(sem_init, "GLIBC_2.2.5")
OLD(sem_post, "GLIBC_2.2.5")
OLD(sem_wait, "GLIBC_2.2.5")

#define HIDDEN __attribute__((visibility("hidden")))

/* until 2.33 these were functions of one more argument, the version of the struct */
int __xstat64(int, const char *, struct stat64 *);
int __lxstat64(int, const char *, struct stat64 *);
int __fxstat64(int, int, struct stat64 *);
int __fxstatat64(int, int, const char *, struct stat64 *, int);
__asm__(".symver __xstat64, __xstat64@GLIBC_2.2.5\n.symver __lxstat64, __lxstat64@GLIBC_2.2.5\n"
        ".symver __fxstat64, __fxstat64@GLIBC_2.2.5\n.symver __fxstatat64, __fxstatat64@GLIBC_2.4\n");
HIDDEN int __wrap_stat64(const char *path, struct stat64 *into) { return __xstat64(1, path, into); }
HIDDEN int __wrap_lstat64(const char *path, struct stat64 *into) { return __lxstat64(1, path, into); }
HIDDEN int __wrap_fstat64(int file, struct stat64 *into) { return __fxstat64(1, file, into); }
HIDDEN int __wrap_fstatat64(int folder, const char *path, struct stat64 *into, int flags) {
    return __fxstatat64(1, folder, path, into, flags);
}

/* new in 2.29 and 2.30 */
HIDDEN pid_t __wrap_gettid(void) { return (pid_t)syscall(SYS_gettid); }
HIDDEN int __wrap_posix_spawn_file_actions_addchdir_np(void *actions, const char *path) {
    int (*there)(void *, const char *);
    *(void **)&there = dlsym(RTLD_DEFAULT, "posix_spawn_file_actions_addchdir_np");
    return there ? there(actions, path) : ENOSYS;
}

/* libstdc++'s shared_ptr asks whether there is one thread only (2.32): no */
HIDDEN char __libc_single_threaded = 0;

/* std::ostringstream's constructor without arguments is one of libstdc++ 9: the one with a mode, std::ios_base::out, does the same */
#define STREAM "_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1"
#ifdef WITH_CXX
__asm__(".text\n.globl __wrap_" STREAM "Ev\n.hidden __wrap_" STREAM "Ev\n.type __wrap_" STREAM "Ev, @function\n"
        "__wrap_" STREAM "Ev:\n\tmovl $16, %esi\n\tjmp " STREAM "ESt13_Ios_Openmode@PLT\n");
#endif

/* since 2.34 the C library runs a program's constructors; before, the program did, and says so by giving a function */
#ifdef WITH_MAIN
typedef void (*constructor)(int, char **, char **);
typedef void (*destructor)(void);
extern constructor __preinit_array_start[] HIDDEN, __preinit_array_end[] HIDDEN, __init_array_start[] HIDDEN, __init_array_end[] HIDDEN;
extern destructor __fini_array_start[] HIDDEN, __fini_array_end[] HIDDEN;

static void begin(int argc, char **argv, char **envp) {
    for (constructor *each = __preinit_array_start; each < __preinit_array_end; each++) (*each)(argc, argv, envp);
    for (constructor *each = __init_array_start; each < __init_array_end; each++) (*each)(argc, argv, envp);
}

static void end(void) {
    for (destructor *each = __fini_array_end; each > __fini_array_start;) (*--each)();
}

int old_start(int (*)(int, char **, char **), int, char **, constructor, destructor, destructor, void *);
__asm__(".symver old_start, __libc_start_main@GLIBC_2.2.5\n");
HIDDEN int __wrap___libc_start_main(int (*program)(int, char **, char **), int argc, char **argv, constructor init, destructor fini,
                                    destructor rtld_fini, void *stack_end) {
    (void)init, (void)fini;
    return old_start(program, argc, argv, begin, end, rtld_fini, stack_end);
}
#endif

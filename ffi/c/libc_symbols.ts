/**
 * The functions of libc that this module calls. dlsym finds them through libpmem2's
 * handle, so that one library and one permission are enough.
 *
 * @module
 */

import {
  address,
  buffer,
  fn,
  int,
  nothing,
  offset,
  size,
  type SymbolTable,
  unsigned,
} from "./symbol_table.ts";

/** Functions for opening the library and reading its messages. */
export const loaderSymbols = {
  // void *dlopen(const char *filename, int flags);
  dlopen: { parameters: [buffer, int], result: address },
  // void *memmove(void *dest, const void *src, size_t n);
  /** From memory into an array. */
  copy_out: {
    name: "memmove",
    parameters: [buffer, address, size],
    result: address,
  },
  // void *memset(void *s, int c, size_t n);
  memset: { parameters: [address, int, size], result: address },
  // size_t strnlen(const char *s, size_t maxlen);
  strnlen: { parameters: [address, size], result: size },
} as const satisfies SymbolTable;

/** Functions for files, for the lock of all isolates, and for errno. */
export const fileSymbols = {
  // int open(const char *pathname, int flags);
  open: { parameters: [address, int], result: int },
  // int close(int fd);
  close: { parameters: [int], result: int },
  // off_t lseek(int fd, off_t offset, int whence);
  lseek: { parameters: [int, offset, int], result: offset },
  // int fcntl(int fd, int cmd, ...);
  fcntl: { parameters: [int, int, int], result: int },
  // int statx(int dirfd, const char *pathname, int flags, unsigned int mask,
  //     struct statx *statxbuf);
  statx: { parameters: [int, address, int, unsigned, address], result: int },
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: address },
  // void flockfile(FILE *filehandle);
  flockfile: { parameters: [address], result: nothing },
  // void funlockfile(FILE *filehandle);
  funlockfile: { parameters: [address], result: nothing },
} as const satisfies SymbolTable;

/** A function that calls a function pointer. */
export const callSymbols = {
  // void *bsearch(const void *key, const void *base, size_t nmemb,
  //     size_t size, int (*compar)(const void *, const void *));
  bsearch: {
    parameters: [address, size, size, size, fn],
    result: address,
  },
} as const satisfies SymbolTable;

/** The same function on another thread. */
export const callAsyncSymbols = {
  bsearch_async: {
    name: "bsearch",
    parameters: [address, size, size, size, fn],
    result: address,
    nonblocking: true,
  },
} as const satisfies SymbolTable;

/** Functions that copy into maps. */
export const copySymbols = {
  // void *memmove(void *dest, const void *src, size_t n);
  memmove: { parameters: [address, address, size], result: address },
  /** From an array into memory. */
  copy_in: {
    name: "memmove",
    parameters: [address, buffer, size],
    result: address,
  },
} as const satisfies SymbolTable;

/** A function that writes mapped pages to their file. */
export const msyncSymbols = {
  // int msync(void *addr, size_t length, int flags);
  msync: { parameters: [address, size, int], result: int },
} as const satisfies SymbolTable;

/** The same function on another thread. */
export const msyncAsyncSymbols = {
  msync_async: {
    name: "msync",
    parameters: [address, size, int],
    result: int,
    nonblocking: true,
  },
} as const satisfies SymbolTable;

/** Functions that tell about the system, and that map memory. */
export const systemSymbols = {
  // unsigned long getauxval(unsigned long type);
  getauxval: { parameters: [size], result: address },
  // int getrlimit(int resource, struct rlimit *rlim);
  getrlimit: { parameters: [int, buffer], result: int },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd,
  //     off_t offset);
  mmap: { parameters: [address, size, int, int, int, offset], result: address },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: [address, size], result: int },
} as const satisfies SymbolTable;

/** Functions for what all isolates of the process share. */
export const sharedPageSymbols = {
  // FILE *fmemopen(void *buf, size_t size, const char *mode);
  fmemopen: { parameters: [address, size, buffer], result: address },
  // int sem_init(sem_t *sem, int pshared, unsigned int value);
  sem_init: { parameters: [address, int, unsigned], result: int },
  // int sem_trywait(sem_t *sem);
  sem_trywait: { parameters: [address], result: int },
  // void *memmove(void *dest, const void *src, size_t n);
  /** From an array into memory. */
  copy_in: {
    name: "memmove",
    parameters: [address, buffer, size],
    result: address,
  },
} as const satisfies SymbolTable;

/** Functions that look at the address space of the process. */
export const addressSpaceSymbols = {
  // int msync(void *addr, size_t length, int flags);
  msync: { parameters: [address, size, int], result: int },
  // int access(const char *pathname, int mode);
  access: { parameters: [address, int], result: int },
  // int open(const char *pathname, int flags);
  open: { parameters: [buffer, int], result: int },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: [int, buffer, size], result: offset },
  // int close(int fd);
  close: { parameters: [int], result: int },
} as const satisfies SymbolTable;

/** A function that moves a mapping. */
export const remapSymbols = {
  // void *mremap(void *old_address, size_t old_size, size_t new_size,
  //     int flags, void *new_address);
  mremap: { parameters: [address, size, size, int, address], result: address },
} as const satisfies SymbolTable;

/** Functions for the working directory and for links. */
export const directorySymbols = {
  // char *getcwd(char *buf, size_t size);
  getcwd: { parameters: [buffer, size], result: address },
  // char *realpath(const char *path, char *resolved_path);
  realpath: { parameters: [address, buffer], result: address },
} as const satisfies SymbolTable;

/** A function that tells about the file system of a file. */
export const fileSystemSymbols = {
  // int fstatfs(int fd, struct statfs *buf);
  fstatfs: { parameters: [int, buffer], result: int },
} as const satisfies SymbolTable;

/** Functions that allocate the blocks of a file. */
export const allocationSymbols = {
  // int fallocate(int fd, int mode, off_t offset, off_t len);
  fallocate: { parameters: [int, int, offset, offset], result: int },
  // int ioctl(int fd, unsigned long request, ...);
  ioctl: { parameters: [int, size, address], result: int },
  // int fstatvfs(int fd, struct statvfs *buf);
  fstatvfs: { parameters: [int, buffer], result: int },
  // int getrlimit(int resource, struct rlimit *rlim);
  getrlimit: { parameters: [int, buffer], result: int },
} as const satisfies SymbolTable;

/** Functions for growing a file where blocks cannot be allocated. */
export const growthSymbols = {
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: [int, offset], result: int },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: [int, buffer, size], result: offset },
} as const satisfies SymbolTable;

/** Functions for pthread keys. */
export const threadKeySymbols = {
  // int pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
  pthread_key_create: { parameters: [buffer, address], result: int },
  // int pthread_key_delete(pthread_key_t key);
  pthread_key_delete: { parameters: [unsigned], result: int },
} as const satisfies SymbolTable;

/** Functions for files in a state that a power cut may leave. */
export const contentSymbols = {
  // ssize_t pread(int fd, void *buf, size_t count, off_t offset);
  pread: { parameters: [int, address, size, offset], result: offset },
  // ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset);
  pwrite: { parameters: [int, buffer, size, offset], result: offset },
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: [int, offset], result: int },
  // off_t lseek(int fd, off_t offset, int whence);
  lseek: { parameters: [int, offset, int], result: offset },
  // int memcmp(const void *s1, const void *s2, size_t n);
  memcmp: { parameters: [address, buffer, size], result: int },
  // ssize_t readlink(const char *path, char *buf, size_t bufsiz);
  readlink: { parameters: [address, buffer, size], result: offset },
} as const satisfies SymbolTable;

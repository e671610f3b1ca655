/*
 * Stands in front of the real libpmem2, which it is linked against: hands out
 * the same function pointers, each with a record kept of its calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { PERSIST, FLUSH, DRAIN, MEMCPY, MEMMOVE, MEMSET, MSYNC };

struct call {
	uint64_t kind, address, length, flags;
};

static struct call calls[1024];
static atomic_uint_fast64_t count;
static atomic_int hold, held;

typedef void *(*get_fn)(void *map);
typedef int (*granularity_fn)(void *map);

static void *library(void)
{
	static void *handle;
	if (handle == NULL)
		handle = dlopen(REAL_LIBRARY, RTLD_LAZY);
	return handle;
}

static void record(enum kind kind, const void *address, size_t length,
	unsigned flags)
{
	uint64_t i = atomic_fetch_add(&count, 1);
	if (i < sizeof(calls) / sizeof(calls[0]))
		calls[i] = (struct call){kind, (uintptr_t)address, length, flags};
}

/* Moves the record out, and starts a new one; how many calls there were. */
uint64_t recorder_take(struct call *to, uint64_t capacity)
{
	uint64_t n = atomic_exchange(&count, 0);
	memcpy(to, calls, (n < capacity ? n : capacity) * sizeof(*to));
	return n;
}

/* From now on, or no longer, persist waits before it returns. */
void recorder_hold(int on)
{
	hold = on;
}

/* How many calls of persist are waiting. */
int recorder_held(void)
{
	return held;
}

static void wait_while_held(void)
{
	held++;
	/* Not for ever: on the main thread nobody could let go. */
	for (int i = 0; hold && i < 10000; i++)
		usleep(1000);
	held--;
}

/* What the next calls of msync fail with; 0: they don't. */
static int planned[64];
static atomic_uint plans, done;

void recorder_fail(const int *errors, uint64_t n)
{
	memcpy(planned, errors, n * sizeof(*errors));
	done = 0;
	plans = n;
}

/* libc's, which dlsym would find through libpmem2's handle. */
int msync(void *address, size_t length, int flags)
{
	record(MSYNC, address, length, flags);
	unsigned i = atomic_fetch_add(&done, 1);
	int error = i < plans ? planned[i] : 0;
	if (getpid() != gettid())
		wait_while_held();
	if (error != 0) {
		errno = error;
		return -1;
	}
	return syscall(SYS_msync, address, length, flags);
}

/* One set of functions for each granularity, since maps of all live at once. */
#define FOR_GRANULARITY(g)                                                    \
	static void (*persist_##g)(const void *, size_t);                      \
	static void (*flush_##g)(const void *, size_t);                        \
	static void (*drain_##g)(void);                                        \
	static void *(*memcpy_##g)(void *, const void *, size_t, unsigned);    \
	static void *(*memmove_##g)(void *, const void *, size_t, unsigned);   \
	static void *(*memset_##g)(void *, int, size_t, unsigned);             \
	static void recorded_persist_##g(const void *p, size_t n)              \
	{                                                                      \
		record(PERSIST, p, n, 0);                                      \
		wait_while_held();                                             \
		persist_##g(p, n);                                             \
	}                                                                      \
	static void recorded_flush_##g(const void *p, size_t n)                \
	{                                                                      \
		record(FLUSH, p, n, 0);                                        \
		flush_##g(p, n);                                               \
	}                                                                      \
	static void recorded_drain_##g(void)                                   \
	{                                                                      \
		record(DRAIN, NULL, 0, 0);                                     \
		drain_##g();                                                   \
	}                                                                      \
	static void *recorded_memcpy_##g(                                      \
		void *to, const void *from, size_t n, unsigned flags)          \
	{                                                                      \
		record(MEMCPY, to, n, flags);                                  \
		return memcpy_##g(to, from, n, flags);                         \
	}                                                                      \
	static void *recorded_memmove_##g(                                     \
		void *to, const void *from, size_t n, unsigned flags)          \
	{                                                                      \
		record(MEMMOVE, to, n, flags);                                 \
		return memmove_##g(to, from, n, flags);                        \
	}                                                                      \
	static void *recorded_memset_##g(                                      \
		void *to, int value, size_t n, unsigned flags)                 \
	{                                                                      \
		record(MEMSET, to, n, flags);                                  \
		return memset_##g(to, value, n, flags);                        \
	}

FOR_GRANULARITY(byte)
FOR_GRANULARITY(line)
FOR_GRANULARITY(page)

#define GETTER(name)                                                          \
	void *pmem2_get_##name##_fn(void *map)                                 \
	{                                                                      \
		get_fn get = (get_fn)dlsym(                                    \
			library(), "pmem2_get_" #name "_fn");                  \
		granularity_fn granularity = (granularity_fn)dlsym(            \
			library(), "pmem2_map_get_store_granularity");         \
		switch (granularity(map)) {                                    \
		case 0:                                                        \
			name##_byte = (void *)get(map);                        \
			return (void *)recorded_##name##_byte;                 \
		case 1:                                                        \
			name##_line = (void *)get(map);                        \
			return (void *)recorded_##name##_line;                 \
		default:                                                       \
			name##_page = (void *)get(map);                        \
			return (void *)recorded_##name##_page;                 \
		}                                                              \
	}

GETTER(persist)
GETTER(flush)
GETTER(drain)
GETTER(memcpy)
GETTER(memmove)
GETTER(memset)

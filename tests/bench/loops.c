/*
 * What things take in C, done to the caller's own maps and reservations. Each
 * function answers with nanoseconds for all that it did, and below 0 if it went
 * wrong.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpmem2.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Only in 1.x, and then not in every header. */
struct vdm;
extern int pmem2_config_set_vdm(struct pmem2_config *config, struct vdm *vdm)
	__attribute__((weak));

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Each of them adds up the sizes of what it found, which must come to this. */

double walk(struct pmem2_vm_reservation *rsv, size_t total, size_t times)
{
	double start = now();
	for (size_t i = 0; i < times; i++) {
		size_t sum = 0;
		struct pmem2_map *map;
		int result = pmem2_vm_reservation_map_find_first(rsv, &map);
		while (result == 0) {
			sum += pmem2_map_get_size(map);
			result = pmem2_vm_reservation_map_find_next(rsv, map,
				&map);
		}
		if (sum != total)
			return -1;
	}
	return now() - start;
}

double find(struct pmem2_vm_reservation *rsv, const size_t *offsets,
	size_t times, size_t total)
{
	size_t sum = 0;
	double start = now();
	for (size_t i = 0; i < times; i++) {
		struct pmem2_map *map;
		if (pmem2_vm_reservation_map_find(rsv, offsets[i], 1, &map))
			return -1;
		sum += pmem2_map_get_size(map);
	}
	return sum == total ? now() - start : -1;
}

/* From all but the last, again and again. */
double find_next(struct pmem2_vm_reservation *rsv,
	struct pmem2_map *const *maps, size_t count, size_t times)
{
	double start = now();
	for (size_t i = 0; i < times; i++) {
		struct pmem2_map *map;
		if (pmem2_vm_reservation_map_find_next(rsv,
			maps[i % (count - 1)], &map))
			return -1;
	}
	return now() - start;
}

double persist(struct pmem2_map *map, size_t length, size_t times)
{
	char *base = pmem2_map_get_address(map);
	size_t size = pmem2_map_get_size(map);
	pmem2_persist_fn persist_fn = pmem2_get_persist_fn(map);
	size_t offset = 0;
	double start = now();
	for (size_t i = 0; i < times; i++) {
		persist_fn(base + offset, length);
		offset += length;
		if (offset + length > size)
			offset = 0;
	}
	return now() - start;
}

/* From an offset on, and from the map's start when it ends. */
double write_data(struct pmem2_map *map, size_t offset, const void *data,
	size_t length, size_t times)
{
	char *base = pmem2_map_get_address(map);
	size_t size = pmem2_map_get_size(map);
	pmem2_memcpy_fn memcpy_fn = pmem2_get_memcpy_fn(map);
	double start = now();
	for (size_t i = 0; i < times; i++) {
		memcpy_fn(base + offset, data, length, 0);
		offset += length;
		if (offset + length > size)
			offset = 0;
	}
	return now() - start;
}

/* A half to the end of one map, a half to the start of the next. */
double write_across(struct pmem2_map *map, struct pmem2_map *next,
	const void *data, size_t length, size_t times)
{
	size_t half = length / 2;
	char *end = (char *)pmem2_map_get_address(map) +
		pmem2_map_get_size(map);
	char *base = pmem2_map_get_address(next);
	pmem2_memcpy_fn memcpy_fn = pmem2_get_memcpy_fn(map);
	pmem2_memcpy_fn next_memcpy_fn = pmem2_get_memcpy_fn(next);
	double start = now();
	for (size_t i = 0; i < times; i++) {
		memcpy_fn(end - half, data, half, 0);
		next_memcpy_fn(base, (const char *)data + half, length - half,
			0);
	}
	return now() - start;
}

double fill(struct pmem2_map *map, size_t length, size_t times)
{
	char *base = pmem2_map_get_address(map);
	pmem2_memset_fn memset_fn = pmem2_get_memset_fn(map);
	double start = now();
	for (size_t i = 0; i < times; i++)
		memset_fn(base, (int)(i & 0xff), length, 0);
	return now() - start;
}

double move(struct pmem2_map *map, size_t length, size_t times)
{
	char *base = pmem2_map_get_address(map);
	pmem2_memmove_fn memmove_fn = pmem2_get_memmove_fn(map);
	double start = now();
	for (size_t i = 0; i < times; i++)
		memmove_fn(base + (i & 1 ? 0 : 64), base + (i & 1 ? 64 : 0),
			length, 0);
	return now() - start;
}

static struct pmem2_map *map_file(const char *path)
{
	struct pmem2_source *source = NULL;
	struct pmem2_config *config = NULL;
	struct pmem2_map *map = NULL;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (pmem2_source_from_fd(&source, fd) == 0 &&
			pmem2_config_new(&config) == 0) {
		pmem2_config_set_required_store_granularity(config,
			PMEM2_GRANULARITY_PAGE);
		/* Else each map takes one of 1,024 pthread keys. */
		if (pmem2_config_set_vdm)
			pmem2_config_set_vdm(config, (struct vdm *)config);
		pmem2_map_new(&map, config, source);
	}
	pmem2_config_delete(&config);
	pmem2_source_delete(&source);
	close(fd);
	return map;
}

double open_store_close(const char *path, size_t times)
{
	char data[64];
	memset(data, 0x5a, sizeof(data));
	double start = now();
	for (size_t i = 0; i < times; i++) {
		struct pmem2_map *map = map_file(path);
		if (!map)
			return -1;
		pmem2_get_memcpy_fn(map)(pmem2_map_get_address(map), data,
			sizeof(data), 0);
		if (pmem2_map_delete(&map))
			return -1;
	}
	return now() - start;
}

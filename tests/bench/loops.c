/*
 * What things take in C, done to the caller's own maps and reservations. Each
 * function answers with nanoseconds for all that it did, and below 0 if it went
 * wrong.
 */
#define _GNU_SOURCE
#include <libpmem2.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

double walk(struct pmem2_vm_reservation *rsv, size_t count, size_t times)
{
	double start = now();
	for (size_t i = 0; i < times; i++) {
		size_t seen = 0;
		struct pmem2_map *map;
		int result = pmem2_vm_reservation_map_find_first(rsv, &map);
		while (result == 0) {
			seen++;
			result = pmem2_vm_reservation_map_find_next(rsv, map,
				&map);
		}
		if (seen != count)
			return -1;
	}
	return now() - start;
}

double find(struct pmem2_vm_reservation *rsv, const size_t *offsets,
	size_t times)
{
	double start = now();
	for (size_t i = 0; i < times; i++) {
		struct pmem2_map *map;
		if (pmem2_vm_reservation_map_find(rsv, offsets[i], 1, &map))
			return -1;
	}
	return now() - start;
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

/*
 * What the searches take in C, on a reservation of the caller's. Each function
 * answers with nanoseconds for all that it did, and below 0 if it went wrong.
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
	size_t count)
{
	double start = now();
	for (size_t i = 0; i < count; i++) {
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

/*
 * What a C program with libpmem2 takes: runs the commands that it reads, one a
 * line, and answers each with nanoseconds, for all of its operations together.
 */
#define _GNU_SOURCE
#include <libpmem2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Only in 1.x, and then not in every header. */
struct vdm;
extern int pmem2_config_set_vdm(struct pmem2_config *config, struct vdm *vdm)
	__attribute__((weak));

#define PAGE 4096
#define MAX_WORDS 4

static struct pmem2_vm_reservation *rsv;
static struct pmem2_map **maps;
static size_t nmaps;

static void check(int result, const char *call)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s: %d %s\n", call, result, pmem2_errormsg());
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static struct pmem2_config *new_config(void)
{
	struct pmem2_config *config;
	check(pmem2_config_new(&config), "config_new");
	check(pmem2_config_set_required_store_granularity(config,
		PMEM2_GRANULARITY_PAGE), "granularity");
	/* Else each map takes one of the process's 1,024 pthread keys. */
	if (pmem2_config_set_vdm)
		check(pmem2_config_set_vdm(config, (struct vdm *)config), "vdm");
	return config;
}

static void release(void)
{
	for (size_t i = 0; i < nmaps; i++)
		check(pmem2_map_delete(&maps[i]), "map_delete");
	if (rsv)
		check(pmem2_vm_reservation_delete(&rsv), "reservation_delete");
	free(maps);
	maps = NULL;
	nmaps = 0;
}

/* A page in each place; a config for each map, as they differ in their place. */
static double reserve(size_t count)
{
	release();
	check(pmem2_vm_reservation_new(&rsv, NULL, count * PAGE), "reservation");
	maps = malloc(count * sizeof(*maps));
	struct pmem2_source *source;
	check(pmem2_source_from_anon(&source, PAGE), "source");
	double start = now();
	for (; nmaps < count; nmaps++) {
		struct pmem2_config *config = new_config();
		check(pmem2_config_set_vm_reservation(config, rsv,
			nmaps * PAGE), "set_vm_reservation");
		check(pmem2_map_new(&maps[nmaps], config, source), "map_new");
		pmem2_config_delete(&config);
	}
	double end = now();
	pmem2_source_delete(&source);
	return end - start;
}

static double run(char **word)
{
	const char *command = word[0];
	size_t count = word[1] ? strtoul(word[1], NULL, 10) : 0;

	if (strcmp(command, "release") == 0)
		release();
	else if (strcmp(command, "reserve") == 0)
		return reserve(count);
	else
		exit(3);
	return 0;
}

int main(void)
{
	char line[PAGE];
	while (fgets(line, sizeof(line), stdin)) {
		char *word[MAX_WORDS] = {NULL};
		char *rest = line;
		for (int i = 0; i < MAX_WORDS; i++)
			word[i] = strtok_r(rest, " \n", &rest);
		printf("%.0f\n", run(word));
		fflush(stdout);
	}
	return 0;
}

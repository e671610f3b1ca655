/*
 * A file system in memory that promises as little as one may: it can't allocate,
 * knows nothing of its room, and numbers its files with 64 bits. From SIGUSR1 to
 * SIGUSR2 it stores nothing: EIO. It runs until it's unmounted.
 *
 *     fuse MOUNTPOINT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 64
#define MAX_WRITE (128 * 1024)

struct node {
	char name[256];
	uint32_t mode;
	uint32_t links;
	uint64_t size;
	char *data;
};

/* The node of a number is nodes[number - 1]; the first is the root. */
static struct node nodes[FILES];
static volatile sig_atomic_t failing;

static void fail(int signal)
{
	failing = signal == SIGUSR1;
}

static struct node *find(const char *name)
{
	for (int i = 1; i < FILES; i++)
		if (nodes[i].links && strcmp(nodes[i].name, name) == 0)
			return &nodes[i];
	return NULL;
}

static struct node *make(const char *name, uint32_t mode)
{
	for (int i = 1; i < FILES; i++) {
		struct node *node = &nodes[i];
		/* What was removed may still be open. */
		if (node->mode)
			continue;
		snprintf(node->name, sizeof(node->name), "%s", name);
		node->mode = mode;
		node->links = 1;
		return node;
	}
	return NULL;
}

static int resize(struct node *node, uint64_t size)
{
	if (size > node->size) {
		char *data = realloc(node->data, size);
		if (data == NULL)
			return -ENOSPC;
		memset(data + node->size, 0, size - node->size);
		node->data = data;
	}
	node->size = size;
	return 0;
}

static struct fuse_attr attributes(struct node *node)
{
	/* As doubles they are all the same. */
	return (struct fuse_attr){
		.ino = (1ULL << 60) + (node - nodes) + 1,
		.size = node->size,
		.blocks = (node->size + 511) / 512,
		.mode = node->mode,
		.nlink = node->links,
		.uid = getuid(),
		.gid = getgid(),
		.blksize = 4096,
	};
}

static struct fuse_entry_out entry(struct node *node)
{
	return (struct fuse_entry_out){
		.nodeid = node - nodes + 1,
		.attr = attributes(node),
	};
}

static int device;
static char input[MAX_WRITE + 4096];
static char output[MAX_WRITE + 4096];

static void reply(uint64_t unique, int error, size_t size)
{
	struct fuse_out_header *header = (void *)output;
	*header = (struct fuse_out_header){
		.len = sizeof(*header) + (error ? 0 : size),
		.error = error,
		.unique = unique,
	};
	/* Whoever asked may be gone. */
	if (write(device, output, header->len) < 0 && errno != ENOENT)
		perror("fuse");
}

/* Answers one request: −errno, or the size of what is at `out`. */
static int64_t answer(const struct fuse_in_header *header, const char *in,
	char *out)
{
	struct node *node = header->nodeid == 0 || header->nodeid > FILES
		? NULL : &nodes[header->nodeid - 1];
	switch (header->opcode) {
	case FUSE_INIT: {
		const struct fuse_init_in *init = (const void *)in;
		struct fuse_init_out answer = {
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.max_readahead = init->max_readahead,
			.flags = FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC,
			.max_write = MAX_WRITE,
		};
		memcpy(out, &answer, sizeof(answer));
		return sizeof(answer);
	}
	case FUSE_LOOKUP:
		node = find(in);
		if (node == NULL)
			return -ENOENT;
		*(struct fuse_entry_out *)out = entry(node);
		return sizeof(struct fuse_entry_out);
	case FUSE_SETATTR: {
		const struct fuse_setattr_in *set = (const void *)in;
		if (set->valid & FATTR_SIZE) {
			int error = resize(node, set->size);
			if (error)
				return error;
		}
	}
	/* fall through */
	case FUSE_GETATTR: {
		struct fuse_attr_out answer = {.attr = attributes(node)};
		memcpy(out, &answer, sizeof(answer));
		return sizeof(answer);
	}
	case FUSE_READLINK:
		memcpy(out, node->data, node->size);
		return node->size;
	case FUSE_SYMLINK: {
		const char *target = in + strlen(in) + 1;
		if (find(in) != NULL)
			return -EEXIST;
		node = make(in, S_IFLNK | 0777);
		if (node == NULL || resize(node, strlen(target)))
			return -ENOSPC;
		memcpy(node->data, target, node->size);
		*(struct fuse_entry_out *)out = entry(node);
		return sizeof(struct fuse_entry_out);
	}
	case FUSE_CREATE: {
		const struct fuse_create_in *create = (const void *)in;
		const char *name = in + sizeof(*create);
		node = find(name);
		if (node != NULL && (create->flags & O_EXCL))
			return -EEXIST;
		if (node == NULL)
			node = make(name, S_IFREG | (create->mode & 0777));
		if (node == NULL)
			return -ENOSPC;
		struct fuse_entry_out e = entry(node);
		struct fuse_open_out o = {0};
		memcpy(out, &e, sizeof(e));
		memcpy(out + sizeof(e), &o, sizeof(o));
		return sizeof(e) + sizeof(o);
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		if (header->opcode == FUSE_OPEN &&
			(((const struct fuse_open_in *)in)->flags & O_TRUNC))
			resize(node, 0);
		memset(out, 0, sizeof(struct fuse_open_out));
		return sizeof(struct fuse_open_out);
	case FUSE_READDIR:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return 0;
	case FUSE_FSYNC:
		return failing ? -EIO : 0;
	case FUSE_READ: {
		const struct fuse_read_in *read = (const void *)in;
		if (read->offset >= node->size)
			return 0;
		uint64_t size = node->size - read->offset;
		if (size > read->size)
			size = read->size;
		if (size > MAX_WRITE)
			size = MAX_WRITE;
		memcpy(out, node->data + read->offset, size);
		return size;
	}
	case FUSE_WRITE: {
		const struct fuse_write_in *write = (const void *)in;
		if (failing)
			return -EIO;
		uint64_t end = write->offset + write->size;
		if (end > node->size && resize(node, end))
			return -ENOSPC;
		memcpy(node->data + write->offset, in + sizeof(*write),
			write->size);
		struct fuse_write_out answer = {.size = write->size};
		memcpy(out, &answer, sizeof(answer));
		return sizeof(answer);
	}
	case FUSE_UNLINK:
		node = find(in);
		if (node == NULL)
			return -ENOENT;
		node->links = 0;
		return 0;
	case FUSE_RENAME:
	case FUSE_RENAME2: {
		const char *from = in + (header->opcode == FUSE_RENAME
			? sizeof(struct fuse_rename_in)
			: sizeof(struct fuse_rename2_in));
		const char *to = from + strlen(from) + 1;
		struct node *source = find(from), *target = find(to);
		if (source == NULL)
			return -ENOENT;
		if (target == source)
			return 0;
		if (target != NULL) {
			target->links = 0;
			/* Links are flipped often, and nobody has them open. */
			if (S_ISLNK(target->mode))
				target->mode = 0, target->size = 0;
		}
		snprintf(source->name, sizeof(source->name), "%s", to);
		return 0;
	}
	case FUSE_STATFS:
		memset(out, 0, sizeof(struct fuse_statfs_out));
		((struct fuse_statfs_out *)out)->st.bsize = 4096;
		((struct fuse_statfs_out *)out)->st.namelen = 255;
		return sizeof(struct fuse_statfs_out);
	default:
		return -ENOSYS;
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	nodes[0] = (struct node){.mode = S_IFDIR | 0755, .links = 2};
	signal(SIGUSR1, fail);
	signal(SIGUSR2, fail);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0) {
		perror("/dev/fuse");
		return 1;
	}
	char options[128];
	snprintf(options, sizeof(options),
		"fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other",
		device, getuid(), getgid());
	if (mount("fuse", argv[1], "fuse", MS_NOSUID | MS_NODEV, options)) {
		perror("mount");
		return 1;
	}
	/* Whoever has started it waits for this. */
	puts("mounted");
	fflush(stdout);
	for (;;) {
		ssize_t size = read(device, input, sizeof(input));
		if (size < 0) {
			if (errno == EINTR || errno == ENOENT || errno == EAGAIN)
				continue;
			return errno == ENODEV ? 0 : 1;
		}
		struct fuse_in_header *header = (void *)input;
		if (header->opcode == FUSE_FORGET ||
			header->opcode == FUSE_BATCH_FORGET ||
			header->opcode == FUSE_INTERRUPT)
			continue;
		char *out = output + sizeof(struct fuse_out_header);
		int64_t result = answer(header, input + sizeof(*header), out);
		reply(header->unique, result < 0 ? result : 0,
			result < 0 ? 0 : result);
	}
}

/*
 * The starter: the program that every environment begins as.
 *
 * It decides nothing. It receives lists of system calls over a socket, carries
 * them out in order, and answers with the first failure or with a result. What
 * is called, in which order and with which arguments is decided, and tested,
 * in Go (lists.go); this file is the part that has to run between fork and
 * exec, as process 1 of a pid namespace, without a runtime, threads or a heap.
 *
 * The same image serves three times, always by fork, never by a second exec:
 *
 *   - the zygote: started once by the node, it has a mount namespace that holds
 *     nothing but the root of the environments, and forks one
 *   - init for each environment, process 1 of a pid namespace, which completes
 *     the environment and forks
 *   - the function's process, which gives up what is left to give up and
 *     executes the function's program. Init then waits for it, reaps orphans,
 *     tells the node the status, and ends, which ends all that is left.
 *
 * A list is one message (SOCK_SEQPACKET) with up to 16 descriptors. It is read
 * to a fixed address, so that the node can put absolute addresses into it: a
 * pointer argument is just a number, and so are pointers inside structures.
 *
 * There is no libc and no data of its own: no secret can be in it, and nothing
 * it holds is anybody's but the environment's.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int i32;
typedef long i64;

#if defined(__x86_64__)
enum { SYS_recvmsg = 47, SYS_sendto = 44, SYS_exit_group = 231, SYS_wait4 = 61, SYS_mmap = 9, SYS_close = 3, SYS_close_range = 436 };

static i64 call(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;
	i64 ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	call run\n");

#elif defined(__aarch64__)
enum { SYS_recvmsg = 212, SYS_sendto = 206, SYS_exit_group = 94, SYS_wait4 = 260, SYS_mmap = 222, SYS_close = 57, SYS_close_range = 436 };

static i64 call(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	register u64 x8 __asm__("x8") = nr;
	register u64 x0 __asm__("x0") = a;
	register u64 x1 __asm__("x1") = b;
	register u64 x2 __asm__("x2") = c;
	register u64 x3 __asm__("x3") = d;
	register u64 x4 __asm__("x4") = e;
	register u64 x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return (i64)x0;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	bl run\n");
#else
#error "the starter is written for amd64 and arm64"
#endif

/* The protocol, the same as in list.go. */
enum {
	CONTROL = 3,             /* the socket to the node */
	LIST_AT = 0x10000000,    /* where a list is read to */
	LIST_SIZE = 192 * 1024,  /* its largest size */
	MAX_FDS = 16,            /* descriptors that come with a list */
	MAX_OPS = 256,

	OP_END = 0xffff0000,     /* ends the list; its argument is the result */
	OP_REAP = 0xffff0001,    /* reaps children until this one; its status */

	MAY_FAIL = 1,            /* flags of an op: a failure is just a result */
	SKIP_IF_POSITIVE = 2,    /* skip the next ops: "this is the parent" */

	EXIT_AFTER = 1,          /* flags of a list: end with it */
	SILENT = 2,              /* one of its ops has answered; failures are told */
};

struct op {
	u32 nr;     /* the system call, or OP_* */
	u8 flags;
	u8 refs;    /* bit n: argument n is the number of a result */
	u16 skip;
	u64 arg[6];
};

struct head {
	u32 ops;    /* offset of the first op */
	u32 count;
	u32 flags;
	u32 unused;
};

struct reply {
	u32 op;     /* the op that ended the list */
	i32 error;  /* its errno, 0 for none */
	i64 result;
};

/* What recvmsg needs, as the kernel defines it. */
struct iovec { u64 base, len; };
struct msghdr { u64 name; u32 namelen, pad; u64 iov, iovlen, control, controllen; u32 flags, pad2; };
struct cmsg { u64 len; i32 level, type; i32 fd[MAX_FDS]; };

enum { SOL_SOCKET = 1, SCM_RIGHTS = 1, MSG_CMSG_CLOEXEC = 0x40000000, MSG_NOSIGNAL = 0x4000, MSG_TRUNC = 0x20, MSG_CTRUNC = 8 };
enum { EINTR = 4, EINVAL = 22, EMSGSIZE = 90 };

static void exit_group(u64 status)
{
	for (;;)
		call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static void answer(u32 op, i32 error, i64 result)
{
	struct reply r;
	r.op = op;
	r.error = error;
	r.result = result;
	call(SYS_sendto, CONTROL, (u64)&r, sizeof r, MSG_NOSIGNAL, 0, 0);
}

/* Waits until child has ended, buries whoever else ends, returns its status. */
static i64 reap(i64 child)
{
	for (;;) {
		i32 status = 0;
		i64 pid = call(SYS_wait4, (u64)-1, (u64)&status, 0x40000000 /* __WALL */, 0, 0, 0);
		if (pid == child)
			return status;
		if (pid < 0 && pid != -EINTR)
			return pid;
	}
}

/*
 * Reads a list to LIST_AT and its descriptors to the first results. A closed
 * socket means that the node is gone: so is this process then.
 */
static i64 receive(i64 *result)
{
	volatile struct cmsg c;
	struct iovec iov;
	struct msghdr m;
	i64 n;

	for (u32 i = 0; i < MAX_FDS; i++)
		result[i] = -1;
	iov.base = LIST_AT;
	iov.len = LIST_SIZE;
	m.name = 0;
	m.namelen = 0;
	m.iov = (u64)&iov;
	m.iovlen = 1;
	m.control = (u64)&c;
	m.controllen = sizeof c;
	m.flags = 0;
	do
		n = call(SYS_recvmsg, CONTROL, (u64)&m, MSG_CMSG_CLOEXEC, 0, 0, 0);
	while (n == -EINTR);
	if (n <= 0)
		exit_group(0);
	if (m.controllen >= 16 && c.level == SOL_SOCKET && c.type == SCM_RIGHTS)
		for (u32 i = 0; i < MAX_FDS && 16 + 4 * i < c.len; i++)
			result[i] = c.fd[i];
	if (m.flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EMSGSIZE;
	return n;
}

/* Carries out the list at LIST_AT, of size bytes, and answers. */
static void carry_out(u64 size, i64 *result)
{
	struct head *h = (struct head *)LIST_AT;
	struct op *ops = (struct op *)(LIST_AT + (u64)h->ops);
	u32 i = 0;
	i64 last = 0;

	if (size < sizeof *h || h->count > MAX_OPS || h->ops % 8 != 0 ||
	    (u64)h->ops + h->count * sizeof *ops > size) {
		answer(0, EINVAL, 0);
		return;
	}
	while (i < h->count) {
		struct op *o = &ops[i];
		u64 a[6];
		i64 r;

		for (u32 k = 0; k < 6; k++) {
			a[k] = o->arg[k];
			if (o->refs & (1 << k))
				a[k] = a[k] < MAX_FDS + i ? (u64)result[a[k]] : 0;
		}
		if (o->nr == OP_END) {
			last = (i64)a[0];
			break;
		}
		if (o->nr == OP_REAP)
			r = reap((i64)a[0]);
		else
			r = call(o->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		result[MAX_FDS + i] = r;
		if (r < 0 && r > -4096 && !(o->flags & MAY_FAIL)) {
			answer(i, (i32)-r, 0);
			return;
		}
		i++;
		if (r > 0 && (o->flags & SKIP_IF_POSITIVE))
			i += o->skip;
	}
	if (!(h->flags & SILENT))
		answer(i, 0, last);
}

__attribute__((used, noreturn)) void run(void)
{
	i64 result[MAX_FDS + MAX_OPS];
	i64 at = call(SYS_mmap, LIST_AT, LIST_SIZE, 3 /* read, write */,
		      0x100022 /* private, anonymous, at this address */, (u64)-1, 0);
	if (at != LIST_AT)
		exit_group(1);
	/* What the node was given by whoever started it ends here. */
	if (call(SYS_close_range, CONTROL + 1, 0xffffffff, 0, 0, 0, 0) != 0)
		exit_group(1);
	for (;;) {
		i64 n = receive(result);
		if (n < 0) {
			answer(0, (i32)-n, 0);
			continue;
		}
		carry_out((u64)n, result);
		if (((struct head *)LIST_AT)->flags & EXIT_AFTER)
			exit_group(0);
		/* Nothing that came with a list outlives it, unless it was
		 * duplicated to a number of its own. */
		for (u32 i = 0; i < MAX_FDS; i++)
			if (result[i] > CONTROL)
				call(SYS_close, (u64)result[i], 0, 0, 0, 0, 0);
	}
}

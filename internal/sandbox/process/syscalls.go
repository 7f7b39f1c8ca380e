//go:build linux && (amd64 || arm64)

package process

import (
	"strings"

	"golang.org/x/sys/unix"
)

// allowed are the system calls that programs need and that can touch nothing
// but the program's own environment. The list began as Docker's default
// profile for a container without capabilities; what is missing of it, and why:
//
//   - io_uring: its operations pass by the filter, and its history of holes
//   - userfaultfd, bpf, perf_event_open: tools for attacks on the kernel
//   - ptrace, process_vm_*, kcmp, pidfd_getfd, process_madvise: a hand in other
//     processes, which no function needs
//   - add_key, keyctl, request_key: keyrings are not namespaced
//   - mount, unshare, setns, pivot_root and the new mount API: nothing to mount,
//     and every new namespace is new surface
//   - name_to_handle_at, open_by_handle_at: past the root
//   - io_setup and its kin: the kernel counts them for the whole machine, so one
//     function could take them from all; threads do what they do
//   - fanotify, quotactl, memfd_secret, modify_ldt, lookup_dcookie, NUMA policy:
//     no use here
//   - io_setup and what follows it: its contexts are counted for the machine
//     (fs.aio-max-nr), and one environment could take them all
//   - sync: writes out the whole machine, and so slows everybody
//   - adjtimex, clock_adjtime: the machine's clock
//   - clone3: its flags are behind a pointer, where no filter can look; ENOSYS
//     makes every libc fall back to clone (see judged)
var allowed = strings.Fields(`
	accept accept4 access alarm arch_prctl bind brk
	capget capset chdir chmod chown clock_getres clock_gettime clock_nanosleep close close_range
	connect copy_file_range creat
	dup dup2 dup3
	epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2
	execve execveat exit exit_group
	faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
	fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
	futex futex_requeue futex_wait futex_waitv futex_wake futimesat
	getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
	getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit get_robust_list
	getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
	inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
	ioprio_get ioprio_set
	kill
	landlock_add_rule landlock_create_ruleset landlock_restrict_self
	lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat
	madvise map_shadow_stack membarrier memfd_create mincore mkdir mkdirat mknod mknodat
	mlock mlock2 mlockall mmap mprotect
	mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
	mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
	nanosleep newfstatat
	open openat openat2
	pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl
	pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2
	read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr
	rename renameat renameat2 restart_syscall rmdir rseq
	rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
	rt_sigtimedwait rt_tgsigqueueinfo
	sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
	sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
	sched_setscheduler sched_yield
	seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto
	setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid
	setreuid setrlimit set_robust_list setsid setsockopt set_tid_address setuid setxattr
	shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 splice
	stat statfs statx symlink symlinkat sync_file_range syncfs sysinfo
	tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime
	timerfd_create timerfd_gettime timerfd_settime times tkill truncate
	umask uname unlink unlinkat utime utimensat utimes
	vfork vmsplice
	wait4 waitid write writev
`)

// namespaceFlags are those of clone. CLONE_NEWTIME is not one of its flags: the
// bit belongs to the exit signal there.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// judged are the calls that depend on their arguments.
var judged = map[string][]unix.SockFilter{
	"clone":  noBits(0, namespaceFlags),
	"clone3": always(absent),
	// TIOCSTI types into a terminal, TIOCLINUX pastes into one.
	"ioctl": noneOf(1, unix.TIOCSTI, unix.TIOCLINUX),
	// Linux, its 32-bit face, without randomisation; and the question.
	"personality": oneOf(0, 0, 0x0008, 0x20000, 0x20008, 0xffffffff),
	"socket":      sockets,
	"socketpair":  oneOf(0, unix.AF_UNIX),
}

// sockets: UNIX, INET, INET6, and of NETLINK only ROUTE, which getifaddrs uses.
var sockets = []unix.SockFilter{
	loadArg(0),
	{Code: bpfIfEq, K: unix.AF_UNIX, Jt: 6},
	{Code: bpfIfEq, K: unix.AF_INET, Jt: 5},
	{Code: bpfIfEq, K: unix.AF_INET6, Jt: 4},
	{Code: bpfIfEq, K: unix.AF_NETLINK, Jf: 2},
	loadArg(2),
	{Code: bpfIfEq, K: unix.NETLINK_ROUTE, Jt: 1},
	ret(refuse),
	ret(allow),
}

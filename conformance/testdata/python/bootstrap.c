/*
 * Starts the Python that lies beside it, by the dynamic linker that lies beside
 * it: the artifact needs nothing of the machine it runs on.
 */
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>
#include <libgen.h>
#include <limits.h>

int main(void)
{
	static char task[PATH_MAX], linker[PATH_MAX + 64], libraries[PATH_MAX + 64], python[PATH_MAX + 64], home[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", task, sizeof task - 1);

	if (n < 0) {
		perror("readlink /proc/self/exe");
		return 1;
	}
	task[n] = 0;
	dirname(task);
	snprintf(linker, sizeof linker, "%s/lib/ld.so", task);
	snprintf(libraries, sizeof libraries, "%s/lib", task);
	snprintf(python, sizeof python, "%s/python/bin/python3", task);
	snprintf(home, sizeof home, "%s/python", task);
	setenv("PYTHONHOME", home, 1);
	setenv("PYTHONPATH", task, 1);
	setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
	execl(linker, linker, "--library-path", libraries, python, "-m", "awslambdaric", "app.handler", (char *)0);
	perror(linker);
	return 1;
}

/*
 * The smallest runtime: the Runtime API over a socket, without any library. It
 * keeps its one connection, answers the event as it came, and
 *
 *   {"do":"error"}   with an error,
 *   {"do":"crash"}   by writing to address 0,
 *   {"do":"stream"}  in chunks with the trailers of an error,
 *   {"do":"slow"}    a byte at a time.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX = 7 << 20 };

static char in[MAX + 1], id[128], invocation[256], host[128];
static int fd;

static void die(const char *what)
{
	perror(what);
	exit(70);
}

static void say(const char *text, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, text, n);

		if (k <= 0)
			die("write");
		text += k;
		n -= k;
	}
}

static void sayf(const char *format, ...)
{
	char line[2048];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	say(line, n);
}

/* header finds a header's value in the n bytes of a head. */
static int header(const char *name, char *value, size_t size)
{
	size_t length = strlen(name);

	for (char *line = strstr(in, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
			char *from = line + 2 + length + 1, *to = strstr(from, "\r\n");

			while (*from == ' ')
				from++;
			snprintf(value, size, "%.*s", (int)(to - from), from);
			return 1;
		}
	}
	return 0;
}

/* receive reads one response, and returns its body within in. */
static char *receive(long *length)
{
	size_t have = 0;
	char *body = 0, value[64];

	for (;;) {
		ssize_t k = read(fd, in + have, MAX - have);

		if (k <= 0)
			die("read");
		have += k;
		in[have] = 0;
		if (!body && (body = strstr(in, "\r\n\r\n"))) {
			body[2] = 0; /* the head ends there */
			body += 4;
			*length = header("Content-Length", value, sizeof value) ? atol(value) : 0;
		}
		if (body && have - (body - in) >= (size_t)*length)
			return body;
	}
}

static void post(const char *what, const char *type, const char *body, long length)
{
	long ignored;

	sayf("POST /2018-06-01/runtime/invocation/%s/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %ld\r\n%s", id, what, host, length, type);
	if (invocation[0])
		sayf("Lambda-Runtime-Invocation-Id: %s\r\n", invocation);
	say("\r\n", 2);
	say(body, length);
	receive(&ignored);
	if (strncmp(in, "HTTP/1.1 202", 12) != 0)
		fprintf(stderr, "%s was answered by %.40s\n", what, in);
}

int main(void)
{
	const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
	char *colon;
	struct sockaddr_in to = {.sin_family = AF_INET};
	static char event[MAX + 1];

	if (!api || !(colon = strrchr(api, ':')) || (size_t)(colon - api) >= sizeof host) {
		fprintf(stderr, "AWS_LAMBDA_RUNTIME_API is %s\n", api ? api : "missing");
		return 64;
	}
	snprintf(host, sizeof host, "%.*s", (int)(colon - api), api);
	to.sin_port = htons(atoi(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die("inet_pton");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		die("connect");
	for (;;) {
		long length;
		char *body;

		sayf("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n", host);
		body = receive(&length);
		if (!header("Lambda-Runtime-Aws-Request-Id", id, sizeof id)) {
			fprintf(stderr, "no request id in: %s\n", in);
			return 65;
		}
		invocation[0] = 0;
		header("Lambda-Runtime-Invocation-Id", invocation, sizeof invocation);
		memcpy(event, body, length);
		event[length] = 0;
		if (strstr(event, "\"do\":\"error\"")) {
			static const char doc[] = "{\"errorMessage\":\"from C\",\"errorType\":\"C.Error\"}";

			post("error", "Lambda-Runtime-Function-Error-Type: C.Error\r\n", doc, sizeof doc - 1);
		} else if (strstr(event, "\"do\":\"crash\"")) {
			*(volatile int *)0 = 1;
		} else if (strstr(event, "\"do\":\"stream\"")) {
			sayf("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
			     "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
			     "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n", id, host);
			if (invocation[0])
				sayf("Lambda-Runtime-Invocation-Id: %s\r\n", invocation);
			/* {"errorMessage":"in the end","errorType":"C.Late"} */
			sayf("\r\n5\r\nfirst\r\nb;ext=1\r\n and second\r\n0\r\n"
			     "Lambda-Runtime-Function-Error-Type: C.Late\r\n"
			     "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJpbiB0aGUgZW5kIiwiZXJyb3JUeXBlIjoiQy5MYXRlIn0=\r\n\r\n");
			receive(&length);
		} else if (strstr(event, "\"do\":\"slow\"")) {
			char head[512];
			int n = snprintf(head, sizeof head, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\nContent-Length: 6\r\n%s%s%s\r\n\"slow\"",
					 id, host, invocation[0] ? "Lambda-Runtime-Invocation-Id: " : "", invocation, invocation[0] ? "\r\n" : "");

			for (int i = 0; i < n; i++) {
				say(head + i, 1);
				usleep(200);
			}
			receive(&length);
		} else {
			post("response", "Content-Type: application/json\r\n", event, length);
		}
	}
}

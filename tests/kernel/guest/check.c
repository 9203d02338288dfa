// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

static const char *topic = "";
static int passed, failed;

void check_topic(const char *new_topic)
{
	topic = new_topic;
}

static bool report(bool ok, const char *name, va_list args)
{
	if (ok)
		passed++;
	else
		failed++;
	printf("%s %d - %s: ", ok ? "ok" : "not ok", passed + failed, topic);
	vprintf(name, args);
	putchar('\n');
	return ok;
}

bool check(bool ok, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	report(ok, name, args);
	va_end(args);
	return ok;
}

static const char *errno_name(int result)
{
	if (result >= 0)
		return "success";
	return strerrorname_np(-result) ?: "an unknown error";
}

bool check_errno(int got, int want, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	if (!report(got == want, name, args))
		printf("# got %s (%d), wanted %s\n", errno_name(got), got, errno_name(want));
	va_end(args);
	return got == want;
}

bool check_ok(int got, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	if (!report(got >= 0, name, args))
		printf("# got %s (%d)\n", errno_name(got), got);
	va_end(args);
	return got >= 0;
}

bool check_text(const char *got, const char *want, const char *name, ...)
{
	bool ok = !strcmp(got, want);
	va_list args;

	va_start(args, name);
	if (!report(ok, name, args))
		printf("# got \"%s\", wanted \"%s\"\n", got, want);
	va_end(args);
	return ok;
}

bool check_address(unsigned long long got, unsigned long long want, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	if (!report(got == want, name, args))
		printf("# got %#llx, wanted %#llx\n", got, want);
	va_end(args);
	return got == want;
}

void bail_out(const char *reason, ...)
{
	va_list args;

	va_start(args, reason);
	printf("Bail out! ");
	vprintf(reason, args);
	putchar('\n');
	va_end(args);
	machine_off();
}

void check_summary(void)
{
	printf("# %d passed, %d failed\n", passed, failed);
}

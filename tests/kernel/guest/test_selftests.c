// SPDX-License-Identifier: Apache-2.0
/*
 * The selftests of the kernel's own tree, as kernel/build has built them with
 * the tree's own makefiles. Each result in their TAP is one check here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "tests.h"

/* Where tests/kernel/run puts them. */
#define SELFTESTS "/selftests"

/* What a test says about itself before its result, kept for the case that it fails. */
static char *said;
static size_t said_length;

static void remember(const char *line)
{
	size_t length = strlen(line);
	char *longer = realloc(said, said_length + length + 1);

	if (!longer)
		bail_out("no memory for what a selftest says");
	said = longer;
	memcpy(said + said_length, line, length + 1);
	said_length += length;
}

static void forget(void)
{
	said_length = 0;
	if (said)
		*said = '\0';
}

/* Prints it as comments, whatever it is: only check() may print results. */
static void tell(void)
{
	for (char *line = said_length ? strtok(said, "\n") : NULL; line; line = strtok(NULL, "\n"))
		printf("# %s\n", line + strspn(line, "# "));
	forget();
}

/* A test of what a variant of it is about is no test in the variant that goes without. */
static bool is_meant_to_be_skipped(const char *directive)
{
	return directive && strstr(directive, "SKIP Skipping test for variant no_viommu");
}

/*
 * What follows "ok" or "not ok": "3 name", or "3 name # SKIP reason". A test that
 * was skipped has shown nothing, so it has failed.
 */
static void report(const char *program, bool ok, char *result)
{
	char *directive = strstr(result, " # ");
	char *name = strchr(result, ' ');

	result[strcspn(result, "\n")] = '\0';
	if (directive)
		*directive++ = '\0';
	if (is_meant_to_be_skipped(directive)) {
		printf("# %s: %s: %s\n", program, name ? name + 1 : result, directive);
		forget();
		return;
	}
	if (!check(ok && !directive, "%s: %s", program, name ? name + 1 : result)) {
		if (directive)
			printf("%s\n", directive);
		tell();
	}
	forget();
}

/* Starts the program with both of its outputs in the stream that is returned. */
static FILE *start(const char *program, const char *argument, pid_t *pid)
{
	char path[128];
	int ends[2];

	snprintf(path, sizeof(path), SELFTESTS "/%s", program);
	fflush(stdout);
	if (pipe(ends) || (*pid = fork()) < 0)
		bail_out("%s cannot be started", program);
	if (!*pid) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl(path, path, argument, NULL);
		printf("# %s: %s\n", path, strerror(errno));
		fflush(stdout);
		_exit(127);
	}
	close(ends[1]);
	return fdopen(ends[0], "r");
}

static void run(const char *program, const char *argument)
{
	int planned = 0, results = 0, status;
	size_t size = 0;
	char *line = NULL;
	FILE *output;
	pid_t pid;

	output = start(program, argument, &pid);
	while (output && getline(&line, &size, output) > 0) {
		bool ok = !strncmp(line, "ok ", 3);

		if (ok || !strncmp(line, "not ok ", 7)) {
			results++;
			report(program, ok, line + (ok ? 3 : 7));
		} else if (sscanf(line, "1..%d", &planned) != 1) {
			remember(line);
		}
	}
	if (output)
		fclose(output);
	free(line);

	if (!check(planned > 0 && results == planned, "%s: all tests have a result", program)) {
		printf("# %d of %d\n", results, planned);
		tell();
	}
	forget();
	if (waitpid(pid, &status, 0) != pid)
		bail_out("%s does not come back", program);
	if (!check(WIFEXITED(status) && !WEXITSTATUS(status), "%s: ends well", program))
		printf("# %s %d\n", WIFEXITED(status) ? "exit code" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

void test_selftests(void)
{
	run("iommu/iommufd", NULL);
	run("iommu/iommufd_fail_nth", NULL);
	run("vfio/vfio_pci_msi_doorbell_test", EDU);
}

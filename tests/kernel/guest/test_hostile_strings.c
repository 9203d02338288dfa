// SPDX-License-Identifier: Apache-2.0
/* Generated strings at the attribute. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hostile.h"
#include "machine.h"
#include "tests.h"
#include "vfio.h"

static const uint64_t mib = 1 << 20, default_base = 0x8000000, default_size = 1 << 20;

/* In the order in which the first that is true decides. */
enum reason {
	ACCEPTED,
	NO_RIGHT,
	NUL_BYTE,
	SYNTAX,
	OVER_64_BITS,
	ZERO,
	UNALIGNED,
	WRAPS,
	OUTSIDE,
	OVER_REGION,
	OWNED,
};

static const struct {
	const char *name;
	int answer;
} reasons[] = {
	[ACCEPTED] = { "accepted", 0 },
	[NO_RIGHT] = { "without the right", -EACCES },
	[NUL_BYTE] = { "with a NUL byte", -EINVAL },
	[SYNTAX] = { "not two numbers", -EINVAL },
	[OVER_64_BITS] = { "a number of more than 64 bits", -ERANGE },
	[ZERO] = { "a number that is 0", -EINVAL },
	[UNALIGNED] = { "a number that is not a multiple of 1 MiB", -EINVAL },
	[WRAPS] = { "a window that wraps around", -EINVAL },
	[OUTSIDE] = { "outside the aperture", -ERANGE },
	[OVER_REGION] = { "over a region", -EADDRINUSE },
	[OWNED] = { "another window than the owner's", -EBUSY },
};

/* What is known of the group. */
struct state {
	uint64_t aperture_last;
	uint64_t region_first, region_last;	/* 0: there is none */
	bool privileged, owned;
	uint64_t base, size;			/* in force */
};

/* The kernel's isspace(), which knows Latin-1's no-break space. */
static bool blank(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0;
}

/* Reads one "0x..." from *TEXT up to LAST, and moves *TEXT behind its digits. */
static enum reason read_number(const char **text, const char *last, uint64_t *number)
{
	static const char digits[] = "0123456789abcdef";
	bool any = false, overflow = false;

	if (last - *text < 2 || memcmp(*text, "0x", 2))
		return SYNTAX;
	*number = 0;
	for (*text += 2; *text < last; (*text)++) {
		const char *digit = memchr(digits, **text | (**text >= 'A' && **text <= 'F' ? 0x20 : 0), 16);

		if (!digit)
			break;
		any = true;
		overflow |= *number >> 60;
		*number = *number << 4 | (uint64_t)(digit - digits);
	}
	if (!any)
		return SYNTAX;
	return overflow ? OVER_64_BITS : ACCEPTED;
}

/* Two numbers in LENGTH bytes of TEXT. */
static enum reason read_window(const char *text, size_t length, uint64_t *base, uint64_t *size)
{
	const char *last = text + length, *end;
	enum reason reason;

	while (text < last && blank(*text))
		text++;
	while (text < last && blank(last[-1]))
		last--;

	/* One blank, tab or newline parts the numbers, any white space may follow it. */
	for (end = text; end < last && *end != ' ' && *end != '\t' && *end != '\n';)
		end++;
	if (end == last)
		return SYNTAX;
	reason = read_number(&text, end, base);
	if (reason || text != end)
		return reason ?: SYNTAX;
	while (text < last && blank(*text))
		text++;
	reason = read_number(&text, last, size);
	if (reason || text != last)
		return reason ?: SYNTAX;

	if (!*base || !*size)
		return ZERO;
	if (*base % mib || *size % mib)
		return UNALIGNED;
	return *base + *size - 1 < *base ? WRAPS : ACCEPTED;
}

/* The answer to LENGTH bytes of TEXT, and the window that they ask for. */
static enum reason expected(const struct state *state, const char *text, size_t length, uint64_t *base, uint64_t *size)
{
	enum { LONGEST = 47, SYSFS_TAKES = 4096 };
	enum reason reason = SYNTAX;

	/* Nothing is written then. */
	*base = state->base;
	*size = state->size;
	if (!length)
		return ACCEPTED;
	if (!state->privileged)
		return NO_RIGHT;
	if (length > SYSFS_TAKES)
		length = SYSFS_TAKES;
	if (memchr(text, '\0', length))
		return NUL_BYTE;
	if ((length == 7 && !memcmp(text, "default", 7)) || (length == 8 && !memcmp(text, "default\n", 8))) {
		*base = default_base;
		*size = default_size;
		reason = ACCEPTED;
	} else if (length <= LONGEST) {
		reason = read_window(text, length, base, size);
	}
	if (reason || (*base == state->base && *size == state->size))
		return reason;
	if (*base + *size - 1 > state->aperture_last)
		return OUTSIDE;
	if (state->region_last && *base <= state->region_last && state->region_first <= *base + *size - 1)
		return OVER_REGION;
	return state->owned ? OWNED : ACCEPTED;
}

static size_t add_word(char *text, size_t used, size_t size)
{
	static const char *const words[] = {
		"default", "none", "0x", "0x0", "0x1", "0x100000", "0x8000000", "0x9000000", "0xfffffff00000", "0xfffffffffff00000",
		"0x8000000000000000", "0xffffffffffffffff", "0x10000000000000000", "0xABCDE00000", "0X9000000", "-1", "+0x100000",
		"100000", "%s%n", "0x00000000000100000", "0x9f00000",
	};
	int word = random_below(3) ? -1 : (int)random_below(sizeof(words) / sizeof(words[0]));
	int length;

	if (word >= 0)
		length = snprintf(text + used, size - used, "%s", words[word]);
	else
		length = snprintf(text + used, size - used, "0x%llx",
				  (unsigned long long)(random_below(1 << 20) << random_below(12)) * mib >>
					  (random_below(8) ? 0 : random_below(20)));
	return used + (size_t)length;
}

enum { ROOM = 8192, WORDS_ROOM = 200 };

static size_t make_string(char *text)
{
	static const char separators[] = { ' ', ' ', ' ', ' ', ' ', ' ', '\t', '\n', '\v', '\r', ',', '-', '\0', '\xa0' };
	size_t words = random_below(8) ? 2 : random_below(5), used = 0, length;

	for (size_t i = 0; i < words && used < WORDS_ROOM - 32; i++) {
		for (uint32_t blanks = i ? 1 + !random_below(6) : !random_below(10); blanks; blanks--)
			text[used++] = separators[random_below(sizeof(separators))];
		used = add_word(text, used, WORDS_ROOM);
	}
	if (!random_below(16))
		used = (size_t)sprintf(text, "default");
	if (!random_below(3))
		text[used++] = '\n';
	/* Some are damaged, some are noise from end to end, some are longer than a page. */
	for (uint32_t damage = random_below(4) ? 0 : 1 + random_below(3); damage && used; damage--)
		text[random_below(used)] = (char)random_below(256);
	if (!random_below(16))
		for (used = random_below(WORDS_ROOM), length = 0; length < used; length++)
			text[length] = (char)random_below(256);
	if (!random_below(64))
		for (length = random_below(ROOM); used < length;)
			text[used++] = random_below(2) ? ' ' : '0';
	return used;
}

static bool window_is(int group, uint64_t base, uint64_t size)
{
	char text[64];

	snprintf(text, sizeof(text), "0x%llx 0x%llx", (unsigned long long)base, (unsigned long long)size);
	return !strcmp(knob_read(group), text);
}

static int write_strings(struct hostile_work *work)
{
	struct state *state = work->argument;
	int group = device_group(EDU);
	static char text[ROOM];

	if (!window_is(group, state->base, state->size))
		return -EUCLEAN;
	for (int i = 0; i < work->count; i++) {
		size_t length = make_string(text);
		uint64_t base, size;
		enum reason reason = expected(state, text, length, &base, &size);
		int answer = knob_write_bytes(group, text, length);

		work->tally->reasons[reason]++;
		if (!reason) {
			state->base = base;
			state->size = size;
		}
		if ((answer == reasons[reason].answer && window_is(group, state->base, state->size)) || !tally_wrong(work->tally))
			continue;
		printf("# string %d answered %d, wanted %d, window %s, wanted 0x%llx 0x%llx:", i, answer, reasons[reason].answer,
		       knob_read(group), (unsigned long long)state->base, (unsigned long long)state->size);
		for (size_t byte = 0; byte < length && byte < WORDS_ROOM; byte++)
			printf(" %02x", (unsigned char)text[byte]);
		putchar('\n');
	}
	fflush(stdout);
	return 0;
}

static void try_strings(const struct state *host, unsigned int host_reasons, bool owned)
{
	static const char *names[REASONS];
	int group = device_group(EDU);

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		names[i] = reasons[i].name;
	for (enum asker asker = 0; asker < ASKERS; asker++) {
		struct state state = *host;
		struct hostile_work work = {
			.what = "strings",
			.where = owned ? "group with an owner" : "group without owner",
			.asker = asker,
			.count = atoi(machine_option("doorbell.strings")) / 2,
			.expected = 1u << ACCEPTED | 1u << NO_RIGHT,
			.names = names,
			.run = write_strings,
			.argument = &state,
		};

		state.privileged = asker == ROOT;
		state.owned = owned;
		state.base = default_base;
		state.size = default_size;
		if (state.privileged)
			work.expected = 1u << ACCEPTED | 1u << NUL_BYTE | 1u << SYNTAX | 1u << OVER_64_BITS | 1u << ZERO |
					1u << UNALIGNED | 1u << WRAPS | host_reasons | (owned ? 1u << OWNED : 0);
		hostile_run(&work);
		check_errno(knob_write(group, "default"), 0, "the default is restored");
	}
}

static void try_both(const struct state *host, unsigned int host_reasons)
{
	struct vfio_device edu;
	struct vfio_space space;

	try_strings(host, host_reasons, false);
	check_ok(space_open(&space, CDEV), "a space opens");
	check_ok(cdev_bind(&space, &edu, EDU), "the group has an owner");
	try_strings(host, host_reasons, true);
	device_close(&edu);
	space_close(&space);
}

void test_hostile_strings(void)
{
	static const struct state host = { .aperture_last = 0xffffffffffff };

	try_both(&host, 1u << OUTSIDE);
}

void test_hostile_strings_reserved(void)
{
	static const struct state host = {
		.aperture_last = UINT64_MAX,
		.region_first = 0xa000000,
		.region_last = 0xa1fffff,
	};

	try_both(&host, 1u << OVER_REGION);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Generated strings at the attribute. What each must be answered is worked out
 * here from the document alone, so that the kernel's parser is not its own judge.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "machine.h"
#include "tests.h"

enum { STRINGS = 4000 };

static const uint64_t mib = 1 << 20;
static const uint64_t aperture_last = 0xffffffffffff;

static uint64_t random_state = 20260101;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % limit;
}

/* The kernel's isspace(), which knows Latin-1's no-break space. */
static bool blank(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0;
}

/* Reads one "0x..." from *TEXT up to LAST, and moves *TEXT behind its digits. */
static int expected_number(const char **text, const char *last, uint64_t *number)
{
	static const char digits[] = "0123456789abcdef";
	bool any = false, overflow = false;

	if (last - *text < 2 || memcmp(*text, "0x", 2))
		return -EINVAL;
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
		return -EINVAL;
	return overflow ? -ERANGE : 0;
}

/* The answer to LENGTH bytes of TEXT; a good window comes out, "default" as a base of 0. */
static int expected_answer(const char *text, size_t length, uint64_t *base, uint64_t *size)
{
	const char *last = text + length;
	int answer;

	*base = *size = 0;
	if (memchr(text, '\0', length))
		return -EINVAL;
	if ((length == 7 && !memcmp(text, "default", 7)) || (length == 8 && !memcmp(text, "default\n", 8)))
		return 0;
	if (length >= 48)
		return -EINVAL;
	while (text < last && blank(*text))
		text++;
	while (text < last && blank(last[-1]))
		last--;

	/* One blank, tab or newline parts the numbers, any white space may follow it. */
	const char *end = text;

	while (end < last && *end != ' ' && *end != '\t' && *end != '\n')
		end++;
	if (end == last)
		return -EINVAL;
	answer = expected_number(&text, end, base);
	if (answer || text != end)
		return answer ?: -EINVAL;
	while (text < last && blank(*text))
		text++;
	answer = expected_number(&text, last, size);
	if (answer || text != last)
		return answer ?: -EINVAL;

	if (!*base || !*size || *base % mib || *size % mib || *base + *size - 1 < *base)
		return -EINVAL;
	return *base + *size - 1 > aperture_last ? -ERANGE : 0;
}

static size_t add_word(char *text, size_t used, size_t size)
{
	static const char *const words[] = {
		"default", "none", "0x", "0x0", "0x1", "0x100000", "0x9000000", "0xfffffff00000", "0xffffffffffffffff",
		"0x10000000000000000", "0xABCDE00000", "0X9000000", "-1", "+0x100000", "100000", "%s%n", "0x00000000000100000",
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

static size_t make_string(char *text, size_t size)
{
	static const char separators[] = { ' ', ' ', ' ', ' ', ' ', ' ', '\t', '\n', '\v', '\r', ',', '-', '\0', '\xa0' };
	size_t words = random_below(8) ? 2 : random_below(5), used = 0;

	for (size_t i = 0; i < words && used < size - 32; i++) {
		for (uint32_t blanks = i ? 1 + !random_below(6) : !random_below(10); blanks; blanks--)
			text[used++] = separators[random_below(sizeof(separators))];
		used = add_word(text, used, size);
	}
	if (!random_below(3))
		text[used++] = '\n';
	/* Some are damaged, some are noise from end to end. */
	for (uint32_t damage = random_below(4) ? 0 : 1 + random_below(3); damage && used; damage--)
		text[random_below(used)] = (char)random_below(256);
	if (!random_below(16))
		for (used = random_below(size); words < used; words++)
			text[words] = (char)random_below(256);
	return used;
}

void test_hostile_strings(void)
{
	uint64_t base, size;
	int group = device_group(EDU), refused = 0, accepted = 0, wrong = 0;
	char text[200], in_force[64] = DEFAULT_WINDOW;

	for (int i = 0; i < STRINGS; i++) {
		size_t length = make_string(text, sizeof(text));
		int wanted = length ? expected_answer(text, length, &base, &size) : 0;
		int answer = knob_write_bytes(group, text, length);

		if (!answer && length) {
			if (base)
				snprintf(in_force, sizeof(in_force), "0x%llx 0x%llx", (unsigned long long)base,
					 (unsigned long long)size);
			else
				strcpy(in_force, DEFAULT_WINDOW);
		}
		if (answer)
			refused++;
		else
			accepted++;
		if (answer == wanted && !strcmp(knob_read(group), in_force))
			continue;

		/* The first few are enough to find the mistake. */
		if (wrong++ < 5) {
			printf("# string %d answered %d, wanted %d, window %s, wanted %s:", i, answer, wanted,
			       knob_read(group), in_force);
			for (size_t byte = 0; byte < length; byte++)
				printf(" %02x", (unsigned char)text[byte]);
			putchar('\n');
		}
	}
	printf("# %d strings accepted, %d refused\n", accepted, refused);
	check(wrong == 0, "%d generated strings are answered as documented, and refused ones change nothing", STRINGS);
	check(accepted > STRINGS / 20 && refused > STRINGS / 20, "there were enough good and bad ones");
	check_errno(knob_write(group, "default"), 0, "the default is restored");
}

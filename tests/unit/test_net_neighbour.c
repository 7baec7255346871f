/* net/neighbour.h */
#include "net/neighbour.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MAC 0x02, 0x6d, 0x6f, 0x73, 0x73, 0x01

static void test_arp(void **state)
{
	static const uint8_t question[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,   9,	 8, 6,
		0,    1,    8,	  0,	6,    4,    0, 1, 2, 0, 0,   0,	 0, 9,
		10,   0,    2,	  2,	0,    0,    0, 0, 0, 0, 172, 18, 0, 5,
	};
	static const uint8_t wanted[] = {
		2, 0,	0,   0,	 0, 9, MAC, 8, 6, 0, 1, 8, 0,  6, 4, 0,
		2, MAC, 172, 18, 0, 5, 2,   0, 0, 0, 0, 9, 10, 0, 2, 2,
	};
	uint8_t answer[NEIGHBOUR_FRAME_MAX];
	uint8_t other[sizeof(question)];

	assert_int_equal(neighbour_answer(question, sizeof(question), answer),
			 sizeof(wanted));
	assert_memory_equal(answer, wanted, sizeof(wanted));
	/* Cut off anywhere, or an answer itself, it is none. */
	for (size_t i = 0; i < sizeof(question); i++)
		assert_int_equal(neighbour_answer(question, i, answer), 0);
	memcpy(other, question, sizeof(question));
	other[21] = 2;
	assert_int_equal(neighbour_answer(other, sizeof(other), answer), 0);
	other[12] = 0;
	assert_int_equal(neighbour_answer(other, sizeof(other), answer), 0);
}

/* With its sum in it, a message adds up to all ones. */
static uint32_t add_up(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static void test_ipv6(void **state)
{
	static const uint8_t question[] = {
		/* Ethernet */
		0x33,
		0x33,
		0xff,
		0,
		0,
		5,
		2,
		0,
		0,
		0,
		0,
		9,
		0x86,
		0xdd,
		/* IPv6: fd00::2 → ff02::1:ff00:5, ICMPv6 */
		0x60,
		0,
		0,
		0,
		0,
		24,
		58,
		255,
		0xfd,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		2,
		0xff,
		2,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		1,
		0xff,
		0,
		0,
		5,
		/* solicitation of fd12::5 */
		135,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0xfd,
		0x12,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		5,
	};
	static const uint8_t target[] = {0xfd, 0x12, [15] = 5};
	static const uint8_t mac[] = {MAC};
	uint8_t answer[NEIGHBOUR_FRAME_MAX];
	uint32_t sum;

	assert_int_equal(neighbour_answer(question, sizeof(question), answer),
			 NEIGHBOUR_FRAME_MAX);
	/* To who asked, from whom it asked for. */
	assert_memory_equal(answer, question + 6, 6);
	assert_memory_equal(answer + 6, mac, 6);
	assert_memory_equal(answer + 22, target, 16);
	assert_memory_equal(answer + 38, question + 22, 16);
	assert_int_equal(answer[54], 136);
	assert_memory_equal(answer + 62, target, 16);
	assert_memory_equal(answer + 80, mac, 6);
	sum = add_up(answer + 22, 32) + add_up(answer + 54, 32) + 32 + 58;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
	for (size_t i = 0; i < sizeof(question); i++)
		assert_int_equal(neighbour_answer(question, i, answer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

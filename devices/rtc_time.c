/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar and number formats of the time's registers. */
#include <time.h>

#include "base/util.h"
#include "devices/rtc_impl.h"

#define PM		0x80
#define ALARM_ANY	0xc0 /* both upper bits set: matches every value */
#define SECONDS_PER_DAY 86400

bool rtc_is_time_register(unsigned int index)
{
	switch (index) {
	case RTC_SECONDS:
	case RTC_MINUTES:
	case RTC_HOURS:
	case RTC_WEEKDAY:
	case RTC_MONTHDAY:
	case RTC_MONTH:
	case RTC_YEAR:
	case RTC_CENTURY_REG:
		return true;
	default:
		return false;
	}
}

static uint8_t encode(int value, bool binary)
{
	return (uint8_t)(binary ? value : value / 10 << 4 | value % 10);
}

static int decode(uint8_t value, bool binary)
{
	return binary ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hour(int hour, uint8_t b)
{
	int twelve = hour % 12 == 0 ? 12 : hour % 12;

	if (b & B_24H)
		return encode(hour, b & B_DM);
	return encode(twelve, b & B_DM) | (hour >= 12 ? PM : 0);
}

static int decode_hour(uint8_t value, uint8_t b)
{
	int hour;

	if (b & B_24H)
		return decode(value, b & B_DM);
	hour = decode(value & 0x7f, b & B_DM);
	/* 12 is the first hour of each half; anything above is left for the caller to see. */
	if (hour == 12)
		hour = 0;
	else if (hour == 0 || hour > 12)
		return 24;
	return hour + (value & PM ? 12 : 0);
}

void rtc_time_encode(int64_t seconds, uint8_t weekday_shift, uint8_t b, uint8_t *cmos)
{
	bool binary = b & B_DM;
	time_t t = (time_t)seconds;
	struct tm tm;
	int year;

	gmtime_r(&t, &tm);
	/* The registers say four digits. */
	year = ((tm.tm_year + 1900) % 10000 + 10000) % 10000;
	cmos[RTC_SECONDS] = encode(tm.tm_sec, binary);
	cmos[RTC_MINUTES] = encode(tm.tm_min, binary);
	cmos[RTC_HOURS] = encode_hour(tm.tm_hour, b);
	cmos[RTC_WEEKDAY] = encode((tm.tm_wday + weekday_shift) % 7 + 1, binary);
	cmos[RTC_MONTHDAY] = encode(tm.tm_mday, binary);
	cmos[RTC_MONTH] = encode(tm.tm_mon + 1, binary);
	cmos[RTC_YEAR] = encode(year % 100, binary);
	cmos[RTC_CENTURY_REG] = encode(year / 100, binary);
}

static int clamp(int value, int min, int max)
{
	return MIN_OF(MAX_OF(value, min), max);
}

int64_t rtc_time_decode(const uint8_t *cmos, uint8_t b, uint8_t *ret_weekday_shift)
{
	bool binary = b & B_DM;
	int century = clamp(decode(cmos[RTC_CENTURY_REG], binary), 0, 99);
	int weekday = clamp(decode(cmos[RTC_WEEKDAY], binary), 1, 7) - 1;
	struct tm tm = {
		.tm_sec = clamp(decode(cmos[RTC_SECONDS], binary), 0, 59),
		.tm_min = clamp(decode(cmos[RTC_MINUTES], binary), 0, 59),
		.tm_hour = clamp(decode_hour(cmos[RTC_HOURS], b), 0, 23),
		.tm_mday = clamp(decode(cmos[RTC_MONTHDAY], binary), 1, 31),
		.tm_mon = clamp(decode(cmos[RTC_MONTH], binary), 1, 12) - 1,
		.tm_year = century * 100 + clamp(decode(cmos[RTC_YEAR], binary), 0, 99) - 1900,
	};
	/* Puts tm_wday in, too. */
	int64_t seconds = timegm(&tm);

	*ret_weekday_shift = (uint8_t)((weekday - tm.tm_wday + 7) % 7);
	return seconds;
}

/* One alarm field as a number; -1: matches all; 255: is no number at all. */
static int alarm_value(uint8_t value, bool binary, int (*hour)(uint8_t, uint8_t), uint8_t b)
{
	if (value >= ALARM_ANY)
		return -1;
	if (!binary && (value & 0xf) > 9)
		return 255;
	return hour ? hour(value, b) : decode(value, binary);
}

uint32_t rtc_alarm_distance(const uint8_t *cmos, uint8_t b, uint32_t second_of_day)
{
	bool binary = b & B_DM;
	int second = alarm_value(cmos[RTC_SECONDS_ALARM], binary, NULL, b);
	int minute = alarm_value(cmos[RTC_MINUTES_ALARM], binary, NULL, b);
	int hour = alarm_value(cmos[RTC_HOURS_ALARM], binary, decode_hour, b);

	if (second > 59 || minute > 59 || hour > 23)
		return 0;
	/* Skips whole hours and minutes: some 150 steps at most. */
	for (uint32_t d = 1; d <= SECONDS_PER_DAY;) {
		uint32_t t = (second_of_day + d) % SECONDS_PER_DAY;

		if (hour >= 0 && t / 3600 != (uint32_t)hour)
			d += 3600 - t % 3600;
		else if (minute >= 0 && t / 60 % 60 != (uint32_t)minute)
			d += 60 - t % 60;
		else if (second >= 0 && t % 60 != (uint32_t)second)
			d++;
		else
			return d;
	}
	return 0;
}

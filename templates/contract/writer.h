#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What all contracts share: JSON into a buffer that the caller gives, as snprintf does it. Nothing is allocated.
#ifndef FLEETFORM_CONTRACT_WRITER
#define FLEETFORM_CONTRACT_WRITER 1

// What a function gives back that was asked to write what the platform would refuse.
#define FLEETFORM_INVALID (-1)
// The most bytes of a message.
#define FLEETFORM_MESSAGE_BYTES_MAX 131072

typedef struct {
    char *buffer;
    size_t size;
    size_t length;
    bool comma;
    bool invalid;
} fleetform_writer;

static inline fleetform_writer fleetform_begin(char *buffer, size_t size) {
    fleetform_writer writer = {buffer, size, 0, false, false};
    return writer;
}

static inline void fleetform_byte(fleetform_writer *writer, char byte) {
    if (writer->length + 1 < writer->size) {
        writer->buffer[writer->length] = byte;
    }
    writer->length += 1;
}

static inline void fleetform_raw(fleetform_writer *writer, const char *text) {
    for (; *text != '\0'; text++) {
        fleetform_byte(writer, *text);
    }
}

// A key with its quotes and colon; nothing in front of an element of an array.
static inline void fleetform_key(fleetform_writer *writer, const char *key) {
    if (writer->comma) {
        fleetform_byte(writer, ',');
    }
    fleetform_raw(writer, key);
    writer->comma = true;
}

static inline void fleetform_open(fleetform_writer *writer, const char *key, char bracket) {
    fleetform_key(writer, key);
    fleetform_byte(writer, bracket);
    writer->comma = false;
}

static inline void fleetform_close(fleetform_writer *writer, char bracket) {
    fleetform_byte(writer, bracket);
    writer->comma = true;
}

// Text is UTF-8. A null pointer is invalid.
static inline void fleetform_text(fleetform_writer *writer, const char *key, const char *text) {
    static const char digits[] = "0123456789abcdef";
    fleetform_key(writer, key);
    if (text == NULL) {
        writer->invalid = true;
        return;
    }
    fleetform_byte(writer, '"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            fleetform_byte(writer, '\\');
            fleetform_byte(writer, *text);
        } else if (byte < 0x20) {
            fleetform_raw(writer, "\\u00");
            fleetform_byte(writer, digits[byte >> 4]);
            fleetform_byte(writer, digits[byte & 15]);
        } else {
            fleetform_byte(writer, *text);
        }
    }
    fleetform_byte(writer, '"');
}

static inline void fleetform_truth(fleetform_writer *writer, const char *key, bool value) {
    fleetform_key(writer, key);
    fleetform_raw(writer, value ? "true" : "false");
}

static inline void fleetform_number(fleetform_writer *writer, const char *key, double value, double min, double max) {
    char text[40];
    char *character;
    fleetform_key(writer, key);
    // Written so that a value that is no number is invalid, too.
    if (!(value >= min && value <= max)) {
        writer->invalid = true;
        return;
    }
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value) {
        snprintf(text, sizeof text, "%.17g", value);
    }
    // The locale may have a decimal comma, and JSON has none.
    for (character = text; *character != '\0'; character++) {
        if (strchr("0123456789+-eE", *character) == NULL) {
            *character = '.';
        }
    }
    fleetform_raw(writer, text);
}

static inline void fleetform_whole(fleetform_writer *writer, const char *key, int64_t value, double min, double max) {
    char text[24];
    fleetform_key(writer, key);
    if ((double)value < min || (double)value > max) {
        writer->invalid = true;
        return;
    }
    snprintf(text, sizeof text, "%" PRId64, value);
    fleetform_raw(writer, text);
}

// Times are milliseconds since 1970, UTC, up to the year 9999.
static inline bool fleetform_is_time(int64_t ms) {
    return ms >= 0 && ms <= INT64_C(253402300799999);
}

static inline void fleetform_rfc3339(fleetform_writer *writer, const char *key, int64_t ms) {
    char text[96];
    int64_t days, second, era, day_of_era, year_of_era, day_of_year, month;
    fleetform_key(writer, key);
    if (!fleetform_is_time(ms)) {
        writer->invalid = true;
        return;
    }
    // Years begin in March here, so that a leap day is the last day of one.
    days = ms / 86400000 + 719468;
    second = ms / 1000 % 86400;
    era = days / 146097;
    day_of_era = days % 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153;
    snprintf(text, sizeof text, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"",
             (int)(era * 400 + year_of_era + (month >= 10 ? 1 : 0)), (int)(month < 10 ? month + 3 : month - 9),
             (int)(day_of_year - (153 * month + 2) / 5 + 1), (int)(second / 3600), (int)(second / 60 % 60),
             (int)(second % 60), (int)(ms % 1000));
    fleetform_raw(writer, text);
}

static inline void fleetform_epoch_s(fleetform_writer *writer, const char *key, int64_t ms) {
    char text[40];
    fleetform_key(writer, key);
    if (!fleetform_is_time(ms)) {
        writer->invalid = true;
        return;
    }
    snprintf(text, sizeof text, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    fleetform_raw(writer, text);
}

static inline void fleetform_epoch_ms(fleetform_writer *writer, const char *key, int64_t ms) {
    fleetform_key(writer, key);
    if (!fleetform_is_time(ms)) {
        writer->invalid = true;
        return;
    }
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, ms);
    fleetform_raw(writer, text);
}

// The code of an alarm: 1 to 64 characters, none of them a control character.
static inline void fleetform_code(fleetform_writer *writer, const char *key, const char *code) {
    size_t characters = 0;
    const char *byte;
    for (byte = code == NULL ? "" : code; *byte != '\0'; byte++) {
        unsigned char value = (unsigned char)*byte;
        // Control characters, of which the later ones take two bytes.
        if (value < 0x20 || value == 0x7f || (value == 0xc2 && (unsigned char)byte[1] < 0xa0)) {
            writer->invalid = true;
        }
        characters += (value & 0xc0) != 0x80;
    }
    if (characters < 1 || characters > 64) {
        writer->invalid = true;
    }
    fleetform_text(writer, key, code);
}

static inline int fleetform_end(fleetform_writer *writer) {
    if (writer->size > 0) {
        writer->buffer[writer->length < writer->size ? writer->length : writer->size - 1] = '\0';
    }
    if (writer->invalid || writer->length > FLEETFORM_MESSAGE_BYTES_MAX) {
        return FLEETFORM_INVALID;
    }
    return (int)writer->length;
}

#endif

/* What cards are and what they remember, in files. */
#include <sys/stat.h>
#include <unistd.h>

#include "stand_in.h"

struct nvmlDevice_st cards[MAXIMUM_CARDS];

/* Reads the first line of a file into TEXT bytes; 0 when there is none. */
int read_text(const char *folder, const char *name, char *text)
{
    char path[2 * TEXT];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *line = fgets(text, TEXT, file);
    fclose(file);
    if (!line)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return 1;
}

unsigned int read_number(const char *folder, const char *name, unsigned int otherwise)
{
    char text[TEXT];
    if (!read_text(folder, name, text))
        return otherwise;
    unsigned int number = 0;
    for (const char *digit = text; *digit >= '0' && *digit <= '9'; digit++)
        number = number * 10 + (unsigned int)(*digit - '0');
    return number;
}

/* Hexadecimal, "0x" before it or not, ending at the first other character. */
unsigned int parse_hexadecimal(const char *text)
{
    unsigned int number = 0;
    if (text[0] == '0' && text[1] == 'x')
        text += 2;
    for (;; text++) {
        if (*text >= '0' && *text <= '9')
            number = number * 16 + (unsigned int)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            number = number * 16 + (unsigned int)(*text - 'a' + 10);
        else
            return number;
    }
}

/* Written beside and renamed, so that a reader never sees half a number. */
nvmlReturn_t write_number(const char *folder, const char *name, unsigned int number)
{
    char path[2 * TEXT], unfinished[2 * TEXT + 8];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(unfinished, sizeof unfinished, "%s.new", path);
    mkdir(folder, 0755);
    FILE *file = fopen(unfinished, "w");
    if (!file)
        return NVML_ERROR_NO_PERMISSION;
    fprintf(file, "%u\n", number);
    if (fclose(file) != 0 || rename(unfinished, path) != 0)
        return NVML_ERROR_UNKNOWN;
    return NVML_SUCCESS;
}

nvmlReturn_t fault(const char *call)
{
    return (nvmlReturn_t)read_number(FAULTS, call, NVML_SUCCESS);
}

void card_folder(nvmlDevice_t card, char *folder)
{
    snprintf(folder, TEXT, CARDS "/%u", card->index);
}

void state_folder(nvmlDevice_t card, char *folder)
{
    snprintf(folder, TEXT, STATE "/%u", card->index);
}

unsigned int card_number(nvmlDevice_t card, const char *name)
{
    char folder[TEXT];
    card_folder(card, folder);
    return read_number(folder, name, 0);
}

nvmlReturn_t copy_out(const char *text, char *buffer, unsigned int length)
{
    if (strlen(text) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}

nvmlReturn_t card_text(nvmlDevice_t card, const char *name, char *buffer, unsigned int length)
{
    char folder[TEXT], text[TEXT];
    card_folder(card, folder);
    if (!read_text(folder, name, text))
        return NVML_ERROR_GPU_IS_LOST;
    return copy_out(text, buffer, length);
}

unsigned int count_cards(void)
{
    unsigned int count = 0;
    char folder[TEXT];
    while (count < MAXIMUM_CARDS) {
        snprintf(folder, sizeof folder, CARDS "/%u", count);
        if (access(folder, F_OK) != 0)
            break;
        cards[count].index = count;
        count++;
    }
    return count;
}
